import contextlib
import resource
import shutil
import sqlite3
import subprocess
import sys

import pytest

from goodgrain.annotate import Session, SessionView
from goodgrain.errors import DiskFull, InputError

IDS = [f"picture {i}" for i in range(400)]


@pytest.fixture
def folder(tmp_path):
    """A session with a few answers, closed."""
    with Session.create(tmp_path / "session", IDS, ["cat", "dog"], budget=1000) as session:
        for item in session.ask(5).ids:
            session.tell(item, "cat")
    return tmp_path / "session"


@contextlib.contextmanager
def files_end_at(size):
    """No file grows beyond this many bytes: what a full disk does, for this process alone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fill_up(session):
    """Answer until there is no room; returns the answers that were kept, and the item whose answer was not."""
    kept = [row.id for row in session.history()]
    for item in session.ask(300).ids:
        try:
            session.tell(item, "dog")
        except DiskFull:
            return kept, item
        kept.append(item)
    pytest.fail("there was room for everything")


def goes_on(session, kept, item):
    assert [row.id for row in session.history()] == kept
    assert session.tell(item, "dog")
    for more in session.ask(50).ids:
        session.tell(more, "cat")
    done = [row.id for row in session.history()]
    assert done[: len(kept) + 1] == [*kept, item]
    assert len(done) == len(set(done)) == len(kept) + 51


def test_a_full_disk_loses_nothing_and_the_session_goes_on(folder):
    with Session.open(folder) as session:
        session.ask(300)
        with files_end_at(300_000):
            kept, item = fill_up(session)
            sentence = r"session.db cannot be written .*: nothing of this step was kept. Make room, and repeat it"
            with pytest.raises(DiskFull, match=sentence):
                session.tell(item, "dog")
            assert len(session.answers()) == len(kept) > 5
        goes_on(session, kept, item)


def test_a_full_disk_and_then_a_kill(folder):
    with Session.open(folder) as session:
        session.ask(300)
        with files_end_at(300_000):
            kept, item = fill_up(session)
        copy = folder.with_name("copy")
        shutil.copytree(folder, copy)  # what a kill would leave
    with Session.open(copy) as session:
        goes_on(session, kept, item)


def test_a_full_database_loses_nothing_and_the_session_goes_on(folder):
    with Session.open(folder) as session:
        session.ask(300)
        pages = session._store._connection.execute("PRAGMA page_count").fetchone()[0]
        session._store._connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        kept, item = fill_up(session)
        session._store._connection.execute("PRAGMA max_page_count = 100000")
        goes_on(session, kept, item)


def test_no_room_for_a_new_session(tmp_path):
    with files_end_at(20_000), pytest.raises(DiskFull, match="cannot be written"):
        Session.create(tmp_path, IDS, ["cat"], budget=10)
    with Session.create(tmp_path, IDS, ["cat"], budget=10) as session:
        assert len(session.ask(10).ids) == 10


def test_every_commit_is_on_disk_before_it_is_acknowledged(folder):
    with Session.open(folder) as session:
        pragmas = ("synchronous", "journal_mode", "foreign_keys")
        found = [session._store._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    assert found == [2, "wal", 1]


def test_nobody_changes_an_answer(folder):
    with contextlib.closing(sqlite3.connect(folder / "session.db")) as db:
        for change in ("UPDATE answers SET kind = 'skip', class = NULL", "DELETE FROM answers"):
            with pytest.raises(sqlite3.IntegrityError, match="answers are only added"):
                db.execute(change)


def test_a_truncated_file_says_so(folder):
    whole = (folder / "session.db").read_bytes()
    for size in (100, 5000, len(whole) // 3, len(whole) // 2, len(whole) - 4096, len(whole) - 1):
        (folder / "session.db").write_bytes(whole[:size])
        with pytest.raises(InputError, match="no whole session file .*Put back a copy of the whole folder"):
            Session.open(folder)
    (folder / "session.db").write_bytes(whole)
    Session.open(folder).close()


def test_what_is_no_session(tmp_path, folder):
    with pytest.raises(InputError, match=r"holds no session: there is no session.db. Make one with Session.create"):
        Session.open(tmp_path)
    path = folder / "session.db"
    path.write_bytes(b"")
    with pytest.raises(InputError, match="is no session of goodgrain"):
        Session.open(folder)
    path.write_text("a thesis, and a long one, " * 1000)
    with pytest.raises(InputError, match="no whole session file .file is not a database."):
        SessionView.open(folder)
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE mine (x)")
    with pytest.raises(InputError, match="is no session of goodgrain. Give the folder of a session"):
        Session.open(folder)


@pytest.mark.parametrize(("version", "advice"), [(0, "that made it."), (9, "that made it, or a newer one.")])
def test_another_version_says_so(folder, version, advice):
    with contextlib.closing(sqlite3.connect(folder / "session.db")) as db:
        db.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(InputError) as error:
        Session.open(folder)
    assert f"has schema version {version}; this goodgrain reads 1." in str(error.value)
    assert str(error.value).endswith(advice)


def test_a_folder_has_one_session_and_one_writer(folder):
    with pytest.raises(InputError, match="holds a session already. Open it, or give another folder"):
        Session.create(folder, IDS, ["cat"], budget=10)
    with Session.open(folder), pytest.raises(InputError, match="is open already, here or in another process"):
        Session.open(folder)
    script = (
        f"from goodgrain.annotate import Session\ntry: Session.open({str(folder)!r})\nexcept Exception as e: print(e)"
    )
    with Session.open(folder):
        other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "is open already" in other.stdout
    with pytest.raises(InputError, match="cannot be a session's folder"):
        Session.create(folder / "session.db", IDS, ["cat"], budget=10)


def test_another_program_in_the_file(folder):
    with Session.open(folder) as session, contextlib.closing(sqlite3.connect(folder / "session.db")) as db:
        session._store._connection.execute("PRAGMA busy_timeout = 1")
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(InputError, match="is being written by another program. Close that, and repeat the step"):
            session.ask(1)
        db.rollback()
        assert session.ask(1).ids


def test_a_closed_session_says_so(folder):
    with Session.open(folder) as session:
        pass
    for use in (session.answers, lambda: session.ask(1)):
        with pytest.raises(InputError, match="is closed. Open it again with Session.open"):
            use()


def test_sessions_work_without_torch():
    script = "import sys, goodgrain.annotate; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
