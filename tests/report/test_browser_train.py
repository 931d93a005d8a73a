"""The training report in a real browser: everything is drawn and fits, nothing is fetched, nothing complains."""

import numpy as np
import pytest
from tests.report import test_browser as pages
from tests.report.toys import CLASSES, boxes, method_facts, ood_comparison, train_facts

from goodgrain.report.html import write
from goodgrain.report.train import train_report
from goodgrain.report.train_facts import FoundBoxes

browser = pages.browser
MARKS = "p.querySelectorAll('.cartesianlayer :is(.js-line, .point, .hm image)').length"
FETCHED = "performance.getEntriesByType('resource').map(r => r.name).filter(n => !/^(data|blob):/.test(n))"
# Texts of one figure that lie over each other, and texts that stick out of it.
CLASHES = """[...document.querySelectorAll('.plot')].flatMap(plot => {
    const outer = plot.getBoundingClientRect();
    const texts = [...plot.querySelectorAll('svg text')].filter(t => t.textContent.trim());
    const boxes = texts.map(t => [t.textContent, t.getBoundingClientRect()]).filter(([, r]) => r.width);
    const out = boxes.filter(([, r]) => r.left < outer.left - 1 || r.right > outer.right + 1
        || r.top < outer.top - 1 || r.bottom > outer.bottom + 1).map(([t]) => t + ' is cut');
    const over = boxes.flatMap(([t, a], i) => boxes.slice(i + 1).filter(([, b]) =>
        Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4).map(([u]) => t + ' lies over ' + u));
    return [...out, ...over];
})
"""


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_report_draws_everything_and_complains_of_nothing(browser, tmp_path, width, scheme):
    path = write(tmp_path / "report.html", train_report(train_facts()))
    assert pages.show(browser, path, width=width, scheme=scheme) == []
    drawn = pages.ask(browser, f"[...document.querySelectorAll('.plot')].map(p => {MARKS})")
    # Lines: three of a loss, one of each penalty. Maps: three. Points: 200 in each of three panels. Bars: 12 pairs.
    assert drawn == [5, 3, 600, 24]
    pictures = pages.ask(browser, "[...document.images].map(i => i.complete && i.naturalWidth)")
    assert all(pictures)
    assert len(pictures) == 3 * 2 * 8 + 2 * 12 + 2 * 2  # of features, with boxes, of copies
    assert pages.ask(browser, "document.documentElement.scrollWidth") <= width, "the page should not scroll sideways"
    assert pages.ask(browser, FETCHED) == []
    assert pages.ask(browser, CLASHES) == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_ood_sets_are_compared_without_a_script(browser, tmp_path, width, scheme):
    pages.show(browser, write(tmp_path / "full.html", train_report(train_facts())), width=width, scheme=scheme)
    browser.get(write(tmp_path / "report.html", train_report(ood_comparison())).as_uri())
    assert browser.get_log("browser") == []
    assert pages.ask(browser, "document.querySelectorAll('h2').length") == 3
    assert pages.ask(browser, "document.querySelectorAll('script').length") == 0
    assert pages.ask(browser, "document.documentElement.scrollWidth") <= width
    assert pages.ask(browser, FETCHED) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_names_like_scripts_are_shown_as_text(browser, tmp_path, width):
    nasty = pages.NASTY
    found = boxes()
    terms = {nasty: [3.0, 2.0, 1.0], "task": [30.0, 0.2, 0.1], "ood": [1.0, 2.0, 1.0]}  # panels in two rows
    methods = [method_facts("taufe", name=nasty, terms=terms), method_facts("standard")]
    facts = train_facts(
        name=nasty,
        method=nasty,
        methods=methods,
        classes=(nasty, "</script>", "l" * 300, *CLASSES[3:]),
        ids=[f"{nasty}{i}" for i in range(120)],
        boxes=FoundBoxes(found.positions, found.true, {nasty: found.predicted["taufe"]}),
    )
    path = write(tmp_path / "report.html", train_report(facts))
    assert pages.show(browser, path, width=width) == []
    assert pages.ask(browser, "document.title") == f"Training report: {nasty}"
    assert pages.ask(browser, "document.querySelector('h1').textContent") == f"Training report: {nasty}"
    assert pages.ask(browser, "document.querySelectorAll('main img[onerror], .plot script, .plot img').length") == 0
    shown = "[...document.querySelectorAll('.plot text')].map(t => t.textContent.replaceAll('\\u00a0', ' '))"
    texts = pages.ask(browser, shown)
    assert "</script>" in texts
    assert any(text.startswith("<script>") for text in texts)
    assert pages.ask(browser, "document.documentElement.scrollWidth") <= width
    assert pages.ask(browser, CLASHES) == []


@pytest.mark.parametrize(
    ("width", "scheme", "ink"), [(1280, "light", "rgb(31, 36, 40)"), (390, "dark", "rgb(232, 230, 225)")]
)
def test_ood_crosses_are_drawn_in_the_pages_ink_above_all_points(browser, tmp_path, width, scheme, ink):
    path = write(tmp_path / "report.html", train_report(train_facts()))
    pages.show(browser, path, width=width, scheme=scheme)
    last = """[...document.querySelectorAll('.plot')[2].querySelectorAll('.subplot')].map(panel =>
        [...panel.querySelectorAll('.trace.scatter')].at(-1).querySelector('.point').style.stroke)"""
    assert pages.ask(browser, last) == [ink] * 3


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("count", [4, 9, 12])
def test_maps_have_room_for_their_numbers(browser, tmp_path, width, count):
    classes = [f"a class named {i}" for i in range(count)]
    cosine = np.random.default_rng(0).uniform(-0.2, 1, (count, count))
    methods = [method_facts(name, cosine=cosine, projection=None) for name in ("taufe", "standard")]
    path = write(
        tmp_path / "report.html", train_report(train_facts(methods=methods, classes=classes, labels=None, boxes=None))
    )
    assert pages.show(browser, path, width=width) == []
    drawn = "document.querySelectorAll('.plot')[1].querySelectorAll('.textpoint').length"
    assert pages.ask(browser, drawn) == 2 * count**2
    assert pages.ask(browser, CLASHES) == []


def test_a_pictures_whole_name_shows_on_pointing(browser, tmp_path):
    facts = train_facts(ood_ids=[f"ood/places/{i}/picture.jpg" for i in range(80)])
    pages.show(browser, write(tmp_path / "report.html", train_report(facts)))
    first = int(facts.switched_off.top_outside[0][0])
    note = "document.querySelector('.gallery .note')"
    assert pages.ask(browser, f"[{note}.textContent, {note}.title]") == [
        "picture.jpg",
        f"ood/places/{first}/picture.jpg",
    ]
