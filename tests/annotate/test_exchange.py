"""What every import and export of a session keeps to."""

import os

import pytest

from goodgrain.annotate import Imported, Session
from goodgrain.annotate.exchange import Given, new_file, tell_all
from goodgrain.errors import DiskFull, InputError


@pytest.fixture
def session(tmp_path):
    with Session.create(tmp_path / "session", ["a", "b", "c"], ["cat"], budget=9, known={"c": "cat"}) as one:
        one.ask(2)
        yield one


def test_what_was_known_from_the_start_is_known_or_contradicted(session):
    assert tell_all(session, [Given("c", "x", "cat", "row 1")]) == Imported(0, 1, 0, ())
    with pytest.raises(InputError, match="row 1: item 'c' was known to be 'cat' from the start and is not asked for. "):
        tell_all(session, [Given("c", "x", "__ood__", "row 1")])


def test_counts_add_up(session):
    given = [Given(name, "x", "cat", name) for name in ("a", "a", "b", "c", "z")]
    expected = Imported(2, 5, 4, ("bad", "z: no item 'z' in this session"))  # a twice, c, and the 3 from before
    assert tell_all(session, given, known=3, skipped=4, problems=["bad"], strict=False) == expected


def test_an_import_that_ran_out_of_room_is_repeated(session, monkeypatch):
    given = [Given("a", "x", "cat", "row 1"), Given("b", "x", "cat", "row 2")]
    tell = session.tell

    def full(name, answer, *, annotator):
        if name == "b":
            raise DiskFull("no room")
        return tell(name, answer, annotator=annotator)

    monkeypatch.setattr(session, "tell", full)
    with pytest.raises(DiskFull):
        tell_all(session, given)
    monkeypatch.undo()
    assert tell_all(session, given) == Imported(1, 1, 0, ())


def test_a_file_that_fails_leaves_the_old_one(tmp_path):
    target = tmp_path / "labels.csv"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), new_file(target) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert (os.listdir(tmp_path), target.read_text()) == (["labels.csv"], "old")
    sentence = "cannot be written: Is a directory. Name a file in a folder of yours that has room"
    with pytest.raises(InputError, match=sentence), new_file(tmp_path) as part:
        part.write_text("new")
