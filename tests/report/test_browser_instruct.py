"""The report of an instruction selection in a real browser: readers can search it, and nothing of the data runs."""

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from tests.report import test_browser as pages
from tests.report.instruct_toys import NASTY, make
from tests.report.reading import figures

from goodgrain.report.html import Row, write
from goodgrain.report.instruct import Answers, Other, instruct_report

browser = pages.browser
FETCHED = "performance.getEntriesByType('resource').map(r => r.name).filter(n => !/^(data|blob):/.test(n))"
FOUND = "document.querySelector('.search output').textContent"
CELLS = "[...r.children].map(c => c.textContent.toWellFormed())"  # the driver cannot carry half a character
LINES = f"[...document.querySelectorAll('.search tbody tr')].map(r => {CELLS})"


def fill(browser, name, value):
    browser.execute_script(
        "const field = document.querySelector(`.search [name=${arguments[0]}]`); field.value = arguments[1];"
        "field.dispatchEvent(new Event('input', {bubbles: true}))",
        name,
        value,
    )


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_the_report_draws_everything_and_complains_of_nothing(browser, tmp_path, width, scheme):
    path = write(tmp_path / "report.html", instruct_report(make()))
    assert pages.show(browser, path, width=width, scheme=scheme) == []
    marks = "p.querySelectorAll('.cartesianlayer :is(.js-line, .point)').length"
    drawn = pages.ask(browser, f"[...document.querySelectorAll('.plot')].map(p => {marks})")
    assert drawn[:3] == [20, 1, 4 + 1 + 4]  # points of the map; one size; four bars, and a line with four dots
    assert all(drawn)
    assert len(drawn) == 5
    assert pages.ask(browser, "document.documentElement.scrollWidth") <= width, "the page should not scroll sideways"
    table = "(t => t.scrollWidth <= t.clientWidth)(document.querySelector('.search .wide'))"
    assert pages.ask(browser, table), "the table of rows should fit its box"
    assert pages.ask(browser, FETCHED) == []


def test_a_reader_filters_searches_and_unfolds(browser, tmp_path):
    rows = [*make().rows[:-1], Row(False, 9, 0, "Long?", "word " * 200, "left out", "the-last-id")]
    path = write(tmp_path / "report.html", instruct_report(make(rows=rows)))
    pages.show(browser, path)
    assert pages.ask(browser, FOUND) == "40 of 40 rows"
    assert len(pages.ask(browser, LINES)) == 20
    browser.execute_script("document.querySelector('.search .more').click()")
    assert len(pages.ask(browser, LINES)) == 40
    assert pages.ask(browser, "document.querySelector('.search .more').hidden")
    fill(browser, "kind", "1")
    assert [row[0] for row in pages.ask(browser, LINES)] == ["kept"] * 10
    fill(browser, "kind", "0")
    fill(browser, "group", "2")
    shown = pages.ask(browser, LINES)
    assert [row[2] for row in shown] == ["2", "3", ""]  # by rank; a row without one comes last
    assert shown[0] == ["dropped", "2", "2", "Request 9?", "Response 9.", "why 9", "words on 2"]
    fill(browser, "kind", "")
    fill(browser, "group", "")
    for wanted, count in (("RESPONSE 11.", 1), ("words on 3", 4), ("the-last-id", 1), ("(", 0), ("why 1", 11)):
        fill(browser, "words", wanted)
        assert pages.ask(browser, FOUND) == f"{count} of 40 rows"
    fill(browser, "words", "long?")
    unfolded = "document.querySelector('.search details p').checkVisibility()"
    assert not pages.ask(browser, unfolded)
    browser.execute_script("document.querySelector('.search summary').click()")
    WebDriverWait(browser, 10).until(lambda b: pages.ask(b, unfolded))
    WebDriverWait(browser, 10).until(lambda b: pages.ask(b, "document.querySelector('summary').textContent") == "fold")
    assert pages.ask(browser, "document.querySelector('.search details p').textContent") == "word " * 200


@pytest.mark.parametrize("width", [1280, 360])
def test_nasty_rows_are_shown_as_text_and_nothing_runs(browser, tmp_path, width):
    bad = [*NASTY, NASTY[0] + "x" * 1_000_000, "x" * 1_000_000]
    rows = [Row(i % 2 == 0, i % 3, i % 3, text, bad[-i - 1], text, text[:2000]) for i, text in enumerate(bad)]
    n = len(rows)
    facts = make(
        name=NASTY[0], method=NASTY[1], teacher=NASTY[0], command=NASTY[1], settings=[(NASTY[0], NASTY[2])],
        kept=np.arange(n) % 2 == 0, rows=rows, words={0: bad, 1: [NASTY[1]], 2: [NASTY[3]]}, sizes=np.array([3] * 3),
        answers=Answers({NASTY[0]: 3}, 0, 0, 0, np.array([3]), np.array([3.0])), lengths=np.ones((n, 2), int),
        points=np.arange(2.0 * n).reshape(n, 2), point_rows=np.arange(n), point_texts=bad,
        copies=[(one, other, 0.5) for one, other in zip(bad, bad[::-1], strict=True)], hallucinated=None,
        ours=Other(NASTY[0], 1, 1), others=[Other(NASTY[1], 1, 1)], problems=[(1, text) for text in bad],
    )  # fmt: skip
    page = instruct_report(facts)
    path = write(tmp_path / "report.html", page)
    assert pages.show(browser, path, width=width) == []
    assert pages.ask(browser, "document.title") == f"Instruction report: {NASTY[0]}"
    shown = pages.ask(browser, LINES)
    assert len(shown) == n
    for line, row in zip(shown[:3], rows[:3], strict=True):
        assert " ".join(line[3].split()) == " ".join(row.request.split())
        assert line[5] == row.why
    assert "{{ 7 * 7 }} {% raw %} ${title} <!--" in shown[2][3]
    direction = "getComputedStyle(document.querySelectorAll('.search tbody tr')[3].querySelector('.said')).direction"
    assert pages.ask(browser, direction) == "rtl"
    for wanted in (text for text in NASTY if "\ud800" not in text):
        fill(browser, "words", wanted)
        assert int(pages.ask(browser, FOUND).split(" ")[0]) >= (1 if wanted.strip() else n)
    made = "document.querySelectorAll('main img, main b, .search tbody script, .plot script, [onerror]').length"
    assert pages.ask(browser, made) == 0
    assert pages.ask(browser, "document.querySelectorAll('main script').length") == len(figures(page))
    assert pages.ask(browser, "document.documentElement.scrollWidth") <= width
    assert pages.ask(browser, FETCHED) == []
    assert browser.get_log("browser") == []


def test_the_map_shows_a_nasty_request_letter_by_letter(browser, tmp_path):
    said = "<img src=x onerror=alert(1)> %{x} &lt;"
    facts = make(points=np.zeros((1, 2)), point_rows=np.array([0]), point_texts=[said])
    pages.show(browser, write(tmp_path / "report.html", instruct_report(facts)))
    plot = browser.find_element(By.CSS_SELECTOR, ".plot")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    ActionChains(browser).move_to_element(plot.find_element(By.CSS_SELECTOR, ".nsewdrag")).perform()
    hover = "[...document.querySelectorAll('.hoverlayer text')].map(t => t.textContent.replaceAll('\\u00a0', ' '))"
    WebDriverWait(browser, 10).until(lambda b: pages.ask(b, hover))
    assert said in pages.ask(browser, hover)
    assert browser.get_log("browser") == []
