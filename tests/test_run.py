import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from goodgrain.errors import InputError
from goodgrain.run import RunFolder

CONFIG = {"job": "prune", "keep": [0.1, 0.2], "test": None, "selection": {"method": "prune4rel", "threshold": 0.95}}


def test_the_same_command_opens_the_same_run(tmp_path):
    with RunFolder(tmp_path / "run", CONFIG) as run:
        run.write_json("metrics.json", {"accuracy": 0.5})
    with RunFolder(tmp_path / "run", {**CONFIG, "keep": (0.1, 0.2)}) as again:
        assert again.has("metrics.json")
        assert again.read_json("metrics.json") == {"accuracy": 0.5}


def test_another_command_is_refused_and_told_why(tmp_path):
    with RunFolder(tmp_path, CONFIG):
        pass
    other = {**CONFIG, "selection": {"method": "uniform", "threshold": 0.95}}
    with pytest.raises(InputError) as error, RunFolder(tmp_path, other):
        pass
    assert "holds another run: its selection.method is 'prune4rel', this one asks for 'uniform'" in str(error.value)
    with (
        pytest.raises(InputError, match="its test is nothing, this one asks for 'data'"),
        RunFolder(tmp_path, {**CONFIG, "test": "data"}),
    ):
        pass


def test_data_that_changed_is_named(tmp_path):
    with RunFolder(tmp_path, {**CONFIG, "fingerprint": {"data": "68da"}}):
        pass
    with (
        pytest.raises(
            InputError, match=r"fingerprint.data is '68da', this one asks for '963c'. What data holds has chan"
        ),
        RunFolder(tmp_path, {**CONFIG, "fingerprint": {"data": "963c"}}),
    ):
        pass


def test_foreign_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="holds files that are no run"), RunFolder(tmp_path, CONFIG):
        pass
    (tmp_path / "thesis.tex").rename(tmp_path / "config.toml")
    with pytest.raises(InputError, match=r"config\.toml cannot be read"), RunFolder(tmp_path, CONFIG):
        pass
    with pytest.raises(InputError, match="is a file. Give a folder"), RunFolder(tmp_path / "config.toml", CONFIG):
        pass


def test_two_processes_do_not_work_in_one_folder(tmp_path):
    script = f"""
from goodgrain.run import RunFolder
try:
    with RunFolder({str(tmp_path)!r}, {CONFIG!r}):
        print("in")
except Exception as error:
    print(error)
"""
    with RunFolder(tmp_path, CONFIG):
        inside = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    after = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "another process is working in" in inside.stdout
    assert after.stdout.strip() == "in"


def test_a_kill_between_two_writes_leaves_a_folder_that_opens(tmp_path):
    (tmp_path / ".config.toml.part").write_text("job = ")  # killed while the configuration was written
    with RunFolder(tmp_path, CONFIG) as run:
        run.log("started", keep=[0.1])
        run.write_table("selection.parquet", {"id": ["a", "b"], "order": [0, None]})
    assert json.loads((tmp_path / "log.jsonl").read_text())["event"] == "started"
    assert pq.read_table(tmp_path / "selection.parquet").column("order").to_pylist() == [0, None]


def test_some_settings_are_open_until_a_file_is_there(tmp_path):
    def claim(config):
        return RunFolder(tmp_path / "run", config, open_until="answers", may_change=("teacher", "ask.tokens"))

    with claim({"data": "a", "teacher": "x", "ask": {"tokens": 512}}):
        pass
    with claim({"data": "a", "teacher": "y", "ask": {"tokens": 64}}) as run:
        assert 'teacher = "y"' in (run.folder / "config.toml").read_text()
    with (
        pytest.raises(InputError, match="its data is 'a', this one asks for 'b'"),
        claim({"data": "b", "teacher": "y", "ask": {"tokens": 64}}),
    ):
        pass
    with claim({"data": "a", "teacher": "y", "ask": {"tokens": 64}}) as run:
        run.write_text("answers", "paid")
    with (
        pytest.raises(InputError, match="its ask.tokens is 64, this one asks for 32"),
        claim({"data": "a", "teacher": "y", "ask": {"tokens": 32}}),
    ):
        pass
