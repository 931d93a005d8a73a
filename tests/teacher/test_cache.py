"""What is written down stays, once, whatever threads, other processes and kills do."""

import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from goodgrain.errors import DiskFull, InputError
from goodgrain.teacher import AnswerCache, Ledger

WHO = ("https://example.org/v1", "tiny")
WRITER = """
import sys
from goodgrain.teacher import AnswerCache
with AnswerCache(sys.argv[1]) as cache:
    print("open", flush=True)
    for i in range(int(sys.argv[3])):
        call = cache.begin("https://example.org/v1", "tiny", 9, 9)
        cache.commit(call, [(f"{sys.argv[2]} {i}", b"answer " + str(i).encode())], 2, 1)
        print(i, flush=True)
"""


def writer(path, name, n):
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, str(n)], stdout=subprocess.PIPE, text=True)


def test_the_ledger_by_hand(tmp_path):
    with AnswerCache(tmp_path / "a.db") as cache:
        paid, free, lost = (cache.begin(*WHO, 100, 50) for _ in range(3))
        cache.commit(paid, [("k", b"\x00body"), ("l", b"")], 30, 5)
        cache.cancel(free)
        cache.cancel(paid)  # what is paid stays
        cache.begin("https://example.org/v1", "another", 7, 7)
    with AnswerCache(tmp_path / "a.db") as cache:
        assert cache.ledger(*WHO) == Ledger(1, 30, 5, 1, 100, 50)
        assert cache.ledger("https://example.org/v1", "another") == Ledger(0, 0, 0, 1, 7, 7)
        assert cache.ledger("https://elsewhere.org/v1", "tiny") == Ledger()
        assert (cache.get("k"), cache.get("l"), cache.get("m")) == (b"\x00body", b"", None)
    assert lost


def test_the_first_answer_stays(tmp_path):
    with AnswerCache(tmp_path / "a.db") as one, AnswerCache(tmp_path / "a.db") as other:
        calls = one.begin(*WHO, 9, 9), other.begin(*WHO, 9, 9)
        one.commit(calls[0], [("k", b"first")], 1, 1)
        other.commit(calls[1], [("k", b"second")], 1, 1)
        assert one.get("k") == other.get("k") == b"first"
        assert one.ledger(*WHO).paid_calls == 2  # both were paid


def test_a_step_that_fails_leaves_nothing(tmp_path):
    with AnswerCache(tmp_path / "a.db") as cache:
        call = cache.begin(*WHO, 9, 9)
        with pytest.raises(InputError, match="cannot be used as a cache of answers"):
            cache.commit(call, [("k", b"x"), ("l", None)], 1, 1)
        assert cache.get("k") is None
        assert cache.ledger(*WHO).lost_calls == 1
        cache.commit(call, [("k", b"x")], 1, 1)


def test_threads_share_a_cache(tmp_path):
    with AnswerCache(tmp_path / "a.db") as cache:

        def write(name):
            for i in range(25):
                cache.commit(cache.begin(*WHO, 9, 9), [(f"{name} {i}", b"x")], 2, 1)

        threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert cache.ledger(*WHO) == Ledger(200, 400, 200)
        assert all(cache.get(f"{name} {i}") == b"x" for name in range(8) for i in range(25))


def test_processes_share_a_cache_from_its_first_moment(tmp_path):
    writers = [writer(tmp_path / "a.db", name, 60) for name in ("one", "two", "three")]
    assert [process.communicate()[0].count("\n") for process in writers] == [61] * 3
    assert [process.returncode for process in writers] == [0] * 3
    with AnswerCache(tmp_path / "a.db") as cache:
        assert cache.ledger(*WHO) == Ledger(180, 360, 180)


def test_what_was_acknowledged_outlasts_a_kill(tmp_path):
    known = 0
    for run in range(3):
        with writer(tmp_path / "a.db", f"run {run}", 100_000) as process:
            for _ in range(15 + 10 * run):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            lines = [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        last = int(lines[-1]) if lines else 13 + 10 * run
        known += last + 1
        with AnswerCache(tmp_path / "a.db") as cache:
            assert all(cache.get(f"run {run} {i}") == f"answer {i}".encode() for i in range(last + 1))
            book = cache.ledger(*WHO)
            assert known <= book.paid_calls <= known + run + 1
            assert book.lost_calls <= run + 1
    assert sqlite3.connect(tmp_path / "a.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_files_that_are_no_cache(tmp_path):
    (tmp_path / "text").write_text("not a database at all, but long enough to look at" * 30)
    with pytest.raises(InputError, match="text cannot be used as a cache of answers: file is not a database"):
        AnswerCache(tmp_path / "text")
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE a (b)")
    other.close()
    with pytest.raises(InputError, match="other.db is no cache of answers. Give another file"):
        AnswerCache(tmp_path / "other.db")
    with pytest.raises(InputError, match="nowhere is no folder, so a.db cannot be made there"):
        AnswerCache(tmp_path / "nowhere" / "a.db")
    AnswerCache(tmp_path / "new.db").close()
    newer = sqlite3.connect(tmp_path / "new.db")
    newer.execute("PRAGMA user_version = 9")
    newer.close()
    with pytest.raises(InputError, match="new.db is of version 9; this is version 1"):
        AnswerCache(tmp_path / "new.db")


def test_a_full_disk_has_a_sentence(tmp_path):
    with AnswerCache(tmp_path / "a.db") as cache:
        cache._db.execute(f"PRAGMA max_page_count = {cache._db.execute('PRAGMA page_count').fetchone()[0]}")
        call = cache.begin(*WHO, 9, 9)
        with pytest.raises(DiskFull, match="a.db cannot be written: database or disk is full. Make room and run again"):
            cache.commit(call, [("k", b"x" * 100_000)], 1, 1)
        assert cache.ledger(*WHO).lost_calls == 1
