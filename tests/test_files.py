import pytest

from goodgrain.files import is_part, whole_file


def test_files_appear_whole_or_not_at_all(tmp_path):
    target = tmp_path / "table.bin"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), whole_file(target) as part:
        part.write_bytes(b"half")
        raise RuntimeError("the power went")
    assert target.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.bin"]
    with whole_file(target) as part:
        part.write_bytes(b"new")
    assert target.read_bytes() == b"new"


def test_what_a_killed_process_left_is_recognised(tmp_path):
    with whole_file(tmp_path / "table.bin") as part:
        assert is_part(part)
        part.write_bytes(b"")
    assert not is_part(tmp_path / "table.bin")
