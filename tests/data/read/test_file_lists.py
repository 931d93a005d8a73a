import time

import pytest

from goodgrain.data.read.file_lists import find_problems, read_lines, read_pairs
from goodgrain.errors import InputError


def test_lines_and_pairs_by_hand(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("\ufeffa/1.jpg 3\n\n  b c/2.jpg\t0 \r\nd.jpg -1")
    assert read_lines(file) == ["a/1.jpg 3", "b c/2.jpg\t0", "d.jpg -1"]
    assert read_pairs(file) == (["a/1.jpg", "b c/2.jpg", "d.jpg"], [3, 0, -1])


@pytest.mark.parametrize("line", ["a.jpg", "a.jpg x", "a.jpg 0.5", "7"])
def test_lines_of_another_form_are_shown(tmp_path, line):
    (tmp_path / "list.txt").write_text(f"b.jpg 1\n{line}\n")
    with pytest.raises(InputError) as refusal:
        read_pairs(tmp_path / "list.txt")
    assert f"list.txt should hold lines that read FILE LABEL, the label a whole number; {line!r} came" in str(
        refusal.value
    )


def test_files_that_are_no_lists(tmp_path):
    (tmp_path / "a.txt").write_text("\n \n")
    with pytest.raises(InputError, match=r"a.txt is empty: one line per image or class is needed"):
        read_lines(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    for name in ("a.txt", "gone.txt"):
        with pytest.raises(InputError, match=f"{name} cannot be read as a list in UTF-8"):
            read_lines(tmp_path / name)


def test_files_that_cannot_be_used(tmp_path):
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    for file in (root / "a" / "1.jpg", tmp_path / "secret.jpg"):
        file.write_bytes(b"x")
    (root / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "in.jpg").symlink_to(root / "a" / "1.jpg")
    (root / "loose.jpg").symlink_to(root / "gone.jpg")
    (root / "up").symlink_to(tmp_path)
    outside, missing = "the file is outside the folder", "the file is missing"
    expected = {
        "a/1.jpg": None,
        "in.jpg": None,
        "out.jpg": outside,
        "up/secret.jpg": outside,
        "../secret.jpg": outside,
        str(tmp_path / "secret.jpg"): outside,
        "a": missing,
        "a/2.jpg": missing,
        "loose.jpg": missing,
        "b/1.jpg": missing,
        "x" * 300: missing,
        "a\0b.jpg": missing,
        "a\0/b.jpg": outside,
    }
    found = find_problems(root, list(expected))
    assert {name: found.get(row) for row, name in enumerate(expected)} == expected


def test_long_lists_take_no_time(tmp_path):
    names = [f"images/{i % 10}/{i % 100}/{i}.jpg" for i in range(200_000)]
    (tmp_path / "list.txt").write_text("".join(f"{name} {i % 14}\n" for i, name in enumerate(names)))
    start = time.process_time()
    files, labels = read_pairs(tmp_path / "list.txt")
    assert time.process_time() - start < 2  # 0.2 s at rest
    assert files == names
    assert labels[-1] == 199_999 % 14
    start = time.process_time()
    assert len(find_problems(tmp_path, files[:20_000])) == 20_000
    assert time.process_time() - start < 2  # 0.2 s at rest
