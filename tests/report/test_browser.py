"""The report in a real browser: everything is drawn, nothing is fetched, nothing complains."""

import os
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from goodgrain.report.html import write
from goodgrain.report.prune import prune_report

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NASTY = "<script>document.title='broken'</script><img src=x onerror=document.title='broken'>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if None in programs:
        sentence = "chromium and chromedriver are not installed, so the report was not opened in a browser"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(programs[1]))
    yield driver
    driver.quit()


def show(browser, path, *, width=1280, scheme="light"):
    """Open a page at a width, wait until all is drawn, and give the messages of the console."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)
    browser.get_log("browser")
    browser.get(path.as_uri())
    WebDriverWait(browser, 30).until(lambda b: b.execute_script("return document.documentElement.dataset.drawn"))
    return browser.get_log("browser")


def ask(browser, expression):
    return browser.execute_script(f"return {expression}")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_report_draws_everything_and_complains_of_nothing(full, browser, tmp_path, width, scheme):
    path = write(tmp_path / "report.html", prune_report(full()))
    assert show(browser, path, width=width, scheme=scheme) == []
    plots = ask(browser, "[...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('svg.main-svg').length)")
    assert len(plots) == 6
    assert all(plots)
    marks = "[...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('.point, .bars path').length)"
    assert all(ask(browser, marks))
    pictures = "[...document.images].map(i => i.complete && i.naturalWidth)"
    assert set(ask(browser, pictures)) == {8}
    assert len(ask(browser, pictures)) == 4 * 24 + 2 * 3
    assert ask(browser, "document.documentElement.scrollWidth") <= width, "the page should not scroll sideways"
    fetched = "performance.getEntriesByType('resource').map(r => r.name).filter(n => !/^(data|blob):/.test(n))"
    assert ask(browser, fetched) == []


def test_figures_follow_the_reader_into_the_dark(full, browser, tmp_path):
    path = write(tmp_path / "report.html", prune_report(full()))
    colour = "getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    show(browser, path)
    light = ask(browser, colour)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    WebDriverWait(browser, 10).until(lambda b: ask(b, colour) != light)
    assert ask(browser, colour) == "rgb(232, 230, 225)"


def test_a_narrow_page_names_the_lines_in_a_legend(full, browser, tmp_path):
    path = write(tmp_path / "report.html", prune_report(full()))
    names = (
        "[...document.querySelector('.plot').querySelectorAll('.legendtext, .annotation-text')].map(t => t.textContent)"
    )
    show(browser, path, width=390)
    assert ask(browser, names) == ["prune4rel", "uniform"]
    show(browser, path, width=1280)
    assert set(ask(browser, names)) == {"● prune4rel", "■ uniform"}


def test_a_class_named_like_a_script_is_shown_as_text(full, browser, tmp_path):
    facts = full(classes=(NASTY, "</script>", "l" * 300), name=NASTY, method=NASTY)
    path = write(tmp_path / "report.html", prune_report(facts))
    assert show(browser, path) == []
    assert ask(browser, "document.title") == f"Pruning report: {NASTY}"
    assert ask(browser, "document.querySelector('h1').textContent") == f"Pruning report: {NASTY}"
    ticks = "[...document.querySelectorAll('.plot .ytick text')].map(t => t.textContent.replaceAll('\\u00a0', ' '))"
    assert any(tick.startswith("</script>") for tick in ask(browser, ticks))
    assert ask(browser, "document.querySelectorAll('main img[onerror], .plot script, .plot img').length") == 0
