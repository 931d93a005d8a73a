"""The labelling page in a real browser: by keyboard, through kills and full disks, on a phone, and with nasty names."""

import os
import shutil
import time

import pytest
from selenium.webdriver.common.keys import Keys

from goodgrain.annotate import OOD, SKIP, UNSURE, SessionView
from page_browser import (
    complaints,
    current,
    delivered,
    give,
    kept,
    open_browser,
    press,
    refilled,
    script,
    seen,
    sit_down,
    text,
    until,
)
from page_server import CLASSES, ServerProcess, new

NASTY = "<script>document.title='broken'</script><img src=x onerror=alert(1)>"


@pytest.fixture
def browsers(tmp_path):
    """Opens browsers, each with a profile of its own."""
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if None in programs:
        sentence = "chromium and chromedriver are not installed, so the labelling page was not opened in a browser"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    opened = []

    def start():
        opened.append(open_browser(*programs, tmp_path / f"profile {len(opened)}"))
        return opened[-1]

    yield start
    for driver in opened:
        driver.quit()


@pytest.fixture
def browser(browsers):
    return browsers()


@pytest.fixture
def server(tmp_path):
    with ServerProcess(tmp_path / "session") as server:
        yield server


def test_a_whole_round_by_keyboard_with_a_kill_in_its_middle(browser, server):
    sit_down(browser, server.address)
    assert script(browser, "return location.search") == ""
    given = {}
    for answer in ("circle", "square", OOD, UNSURE, SKIP, "triangle"):
        given[give(browser, answer)] = answer
    item = give(browser, "circle")
    press(browser, "z")
    until(browser, lambda: text(browser, ".tile.current .id") == item)
    assert text(browser, "#last") == "Last: triangle"
    given[give(browser, "square")] = "square"
    assert item in given
    delivered(browser)

    server.kill()
    for answer in (OOD, "circle"):
        given[give(browser, answer)] = answer
    until(browser, lambda: seen(browser, "#banner"))
    until(browser, lambda: "2 answers are kept in this browser and will be sent again" in text(browser, "#trouble"))
    assert "The server cannot be reached" in text(browser, "#trouble")
    server.start()
    delivered(browser)
    until(browser, lambda: not seen(browser, "#banner"))
    assert kept(server) == given

    for turn in range(100):
        if sum(answer != SKIP for answer in given.values()) == 20:
            break
        answer = (*CLASSES, OOD, UNSURE)[turn % 5]
        given[give(browser, answer)] = answer
    until(browser, lambda: seen(browser, "#between"))
    assert text(browser, "#over") == "Round 0 is over"
    assert text(browser, "#why") == "Its money is spent."
    assert text(browser, "#money") == "20 of 20 spent, 0 left"
    delivered(browser)
    assert kept(server) == given
    with SessionView.open(server.folder) as view:
        rows = [(row.id, row.answer) for row in view.history() if not row.undone]
    assert sorted(rows) == sorted(given.items()), "none twice"
    assert complaints(browser) == []


def test_answers_wait_in_the_browser_across_a_reload(browser, server):
    sit_down(browser, server.address)
    given = {give(browser, "circle"): "circle"}
    delivered(browser)
    server.kill()
    given[give(browser, OOD)] = OOD
    browser.execute_cdp_cmd("Page.navigate", {"url": "about:blank"})
    server.start()
    browser.get(server.address)
    assert current(browser) not in given
    delivered(browser)
    assert kept(server) == given
    assert text(browser, "#last") == "Last: none of these"
    press(browser, "z", "z")
    until(browser, lambda: kept(server) == {})
    assert current(browser) in given


def test_a_full_disk_keeps_the_answer_in_the_browser_until_there_is_room(browser, server):
    sit_down(browser, server.address)
    given = {}
    with server.full_disk():
        for turn in range(5):
            given[give(browser, CLASSES[turn % 3])] = CLASSES[turn % 3]
            time.sleep(0.2)
            if seen(browser, "#banner"):
                break
        until(browser, lambda: text(browser, "#trouble").startswith("Disk full: "))
        assert "kept in this browser and will be sent again." in text(browser, "#trouble")
        assert kept(server) != given
    delivered(browser)
    until(browser, lambda: not seen(browser, "#banner"))
    assert kept(server) == given


def test_training_and_the_next_round(browser, server):
    sit_down(browser, server.address)
    for _ in range(20):
        give(browser, "circle")
    until(browser, lambda: seen(browser, "#advance"))
    delivered(browser)
    until(browser, lambda: script(browser, "return document.querySelectorAll('#charts svg[role]').length") == 2)
    assert script(browser, "return document.querySelectorAll('#charts .heat rect').length") == 1600
    assert text(browser, "#hint") == "The last round raised accuracy by 3 points: one more may pay."
    (server.folder / "fail").touch()
    until(browser, lambda: script(browser, "return !document.getElementById('advance').disabled"))
    script(browser, "document.getElementById('advance').focus()")
    press(browser, Keys.ENTER)
    until(browser, lambda: text(browser, "#failed").startswith("the training set holds one class only"))
    (server.folder / "fail").unlink()
    script(browser, "document.getElementById('advance').focus()")
    press(browser, Keys.ENTER)
    until(browser, lambda: text(browser, "#stage") == "Scoring the pool …")
    assert int(script(browser, "return document.getElementById('done').getAttribute('aria-valuenow')")) >= 0
    (server.folder / "go").touch()
    until(browser, lambda: text(browser, "#over") == "Round 1 is ready")
    until(browser, lambda: script(browser, "return document.activeElement.id") == "go")
    press(browser, Keys.ENTER)
    give(browser, OOD)
    until(browser, lambda: text(browser, "#money") == "1 of 20 spent, 19 left")
    assert text(browser, "#round") == "Round 1"
    press(browser, "z", "z")  # nothing of round 0 is taken back
    until(browser, lambda: text(browser, "#money") == "0 of 20 spent, 20 left")
    assert len(kept(server)) == 20
    assert complaints(browser) == []


def test_names_like_scripts_are_shown_as_text(browser, tmp_path):
    classes = (NASTY, "__proto__", "</script>", "l" * 300, *(f"class {k}" for k in range(9)))
    ids = [f"{NASTY} {i}" for i in range(5)]
    new(tmp_path / "session", classes=classes, ids=ids).close()
    with ServerProcess(tmp_path / "session") as server:
        assert sit_down(browser, server.address, NASTY, width=360).startswith(NASTY)
        press(browser, "m")
        until(browser, lambda: "guess" in text(browser, ".tile .guess"))
        assert script(browser, "return document.documentElement.scrollWidth") <= 360
        assert text(browser, ".classes button span") == NASTY
        press(browser, "1", "g")
        until(browser, lambda: NASTY in text(browser, "#last"))
        current(browser)
        press(browser, "2")
        until(browser, lambda: text(browser, "#last") == "Last: __proto__")
        current(browser)
        script(browser, "document.getElementById('filter').focus()")
        press(browser, "</SCR", Keys.ENTER)
        until(browser, lambda: text(browser, "#last") == "Last: </script>")
        delivered(browser)
        assert sorted(kept(server).values()) == ["</script>", NASTY, "__proto__"]
        assert script(browser, "return document.title") == "goodgrain: labelling"
        assert script(browser, "return document.querySelectorAll('script').length") == 1
        assert script(browser, "return document.querySelectorAll('[onerror], main script').length") == 0
        assert complaints(browser) == []


def test_two_browsers_never_hold_the_same_image(browsers, tmp_path):
    new(tmp_path / "session", budget=40).close()
    held = []
    with ServerProcess(tmp_path / "session") as server:
        for name in ("ann", "bob"):
            browser = browsers()
            sit_down(browser, server.address, name)
            press(browser, "g")
            until(browser, lambda b=browser: script(b, "return document.querySelectorAll('.tile').length") == 12)
            held.append(script(browser, "return [...document.querySelectorAll('.tile .id')].map((e) => e.textContent)"))
    assert not set(held[0]) & set(held[1])


def test_a_grid_by_keyboard_and_by_mouse_on_a_phone(browser, server):
    first = sit_down(browser, server.address, width=360)
    press(browser, "g")
    until(browser, lambda: script(browser, "return document.querySelectorAll('.tile').length") == 12)
    ids = script(browser, "return [...document.querySelectorAll('.tile .id')].map((e) => e.textContent)")
    assert ids[0] == first == text(browser, ".tile.current .id")
    assert script(browser, "return document.documentElement.scrollWidth") <= 360
    press(browser, Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_UP)
    assert text(browser, ".tile.current .id") == ids[1]
    current(browser)
    press(browser, "2")
    script(browser, "document.querySelectorAll('.tile')[4].click()")
    current(browser)
    script(browser, "document.querySelector('.others .ood').click()")
    delivered(browser)
    assert kept(server) == {ids[1]: "square", ids[4]: OOD}
    for key in ("3", "3"):
        script(browser, "document.querySelectorAll('.tile')[1].click()")  # a second thought
        refilled(browser)
        assert text(browser, ".tile.current .id") == ids[1], "what comes in does not move the choice"
        press(browser, key)
    delivered(browser)
    assert kept(server) == {ids[1]: "triangle", ids[4]: OOD}
    script(browser, "document.getElementById('undo').click()")
    until(browser, lambda: text(browser, ".tile:nth-child(2) .given") == "square")
    delivered(browser)
    assert kept(server) == {ids[1]: "square", ids[4]: OOD}


def test_the_guess_is_hidden_until_it_is_wanted(browser, server):
    sit_down(browser, server.address)
    asked = "return performance.getEntriesByType('resource').filter((r) => r.name.includes('/api/guess')).length"
    assert not seen(browser, ".tile .guess")
    assert script(browser, asked) == 0
    press(browser, "m")
    until(browser, lambda: text(browser, ".tile.current .guess") not in ("", "guess: …"))
    assert script(browser, "return [...document.images].every((i) => i.src.startsWith('blob:'))")


def test_an_answer_that_the_session_refuses_is_shown_until_it_is_discarded(browser, server):
    sit_down(browser, server.address)
    give(browser, "circle")
    delivered(browser)
    entry = "{op: 'tell', annotator: 'ann', id: 'nothing', answer: 'square'}"
    code = "fetch('/api/session', {headers: {'X-Goodgrain-Token': sessionStorage['goodgrain token']}})"
    keep = f"localStorage.setItem(`goodgrain ${{session.key}} send 0`, JSON.stringify({entry}))"
    script(browser, f"return {code}.then((reply) => reply.json()).then((session) => {{ {keep}; }})")
    given = give(browser, OOD)
    until(browser, lambda: text(browser, "#trouble").startswith("The session did not take the answer “square” for"))
    assert "no item 'nothing' in this session" in text(browser, "#trouble")
    until(browser, lambda: kept(server).get(given) == OOD)
    script(browser, "document.getElementById('drop').click()")
    until(browser, lambda: not seen(browser, "#banner"))


def test_another_token_is_said_and_nothing_is_lost(browser, server, tmp_path):
    sit_down(browser, server.address)
    script(browser, "sessionStorage.setItem('goodgrain token', 'x'.repeat(20))")
    browser.refresh()
    until(browser, lambda: text(browser, "#wait").startswith("This page has no valid token. Open the address"))
