"""The labelling report: which sections there are, what they say, and that nothing in them is taken for markup."""

import numpy as np
import pytest
from PIL import Image
from tests.report import test_browser as pages
from tests.report.reading import figures, gallery, headings, table, texts

from goodgrain.report.html import write
from goodgrain.report.label import LabelFacts, RoundFacts, curve, label_report, plane

browser = pages.browser
SECTIONS = (
    "In brief",
    "Round by round",
    "Pure or informative?",
    "What the last round asked for",
    "Labels",
    "Settings",
)
OOD = "__ood__"
NASTY = pages.NASTY


def picture(name):
    return Image.fromarray(np.random.default_rng(len(name)).integers(0, 256, (8, 8, 3), dtype=np.uint8))


def shown(n=40, score=True):
    rng = np.random.default_rng(0)
    grid = np.linspace(-1, 1, 32)
    return {
        "purity": rng.normal(size=n).tolist(),
        "informativeness": rng.normal(size=n).tolist(),
        "answer": ["cat", OOD, "dog", "cat", *[""] * (n - 4)],
        "grid_purity": grid.tolist(),
        "grid_informativeness": grid.tolist(),
        "score": np.add.outer(2 * grid, grid).tolist() if score else [],
    }


def facts(**changes):
    known = {
        "name": "pets",
        "command": "goodgrain label init pets --classes cat,dog",
        "settings": [("label.strategy", "mqnet"), ("label.seed", "0")],
        "images": 1200,
        "classes": ("cat", "dog"),
        "rounds": [
            RoundFacts(0, "random", 30, 60, 10, 100.0, 0.5),
            RoundFacts(1, "mqnet", 50, 49, 1, 100.0, 0.625),
            RoundFacts(2, "mqnet", 70, 30, 0, 99.5, 0.6666),
        ],
        "plane": shown(),
        "hint": "The last round changed the test accuracy by +4.2 points.",
        "last": [("a.png", "cat"), ("b.png", OOD), ("c.png", "dog")],
        "per_class": {"cat": 100, "dog": 52},
        "thumbnail": picture,
    }
    return LabelFacts(**{**known, **changes})


def test_every_section_and_its_facts():
    page = label_report(facts())
    assert headings(page) == SECTIONS
    assert "<h1>Labelling report: pets</h1>" in page
    assert "150 of 289 answers named a class (52%); the model reaches 66.7% on the test images." in page
    assert "1,200" in page
    assert "in 3 rounds" in page
    assert "299.5" in page
    assert "The last round changed the test accuracy by +4.2 points." in page
    caption = "What each round&#39;s answers were. Accuracy is that of the model that learned from them too."
    assert table(page, caption) == [
        ("round", "strategy", "class", "none", "unsure", "class (%)", "spent", "accuracy"),
        ("0", "random", "30", "60", "10", "33%", "100", "50.0%"),
        ("1", "mqnet", "50", "49", "1", "51%", "100", "62.5%"),
        ("2", "mqnet", "70", "30", "0", "70%", "99.5", "66.7%"),
    ]
    assert gallery(page, "Answers") == [("cat", "a.png"), ("none of these", "b.png"), ("dog", "c.png")]
    assert "The first 3 of 3 answers, in the order that was asked." in page
    labels = table(page, "All labels, those known from the start included.")
    assert labels == [("class", "labelled images"), ("cat", "100"), ("dog", "52")]
    assert "goodgrain label init pets --classes cat,dog" in page
    assert ("label.strategy", "mqnet") in table(page, "All that was asked for.")


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"rounds": ()}, {"Round by round"}),
        ({"plane": None}, {"Pure or informative?"}),
        ({"last": ()}, {"What the last round asked for"}),
        ({"thumbnail": None}, {"What the last round asked for"}),
        ({"per_class": None}, {"Labels"}),
        ({"hint": "", "settings": ()}, set()),
    ],
)
def test_sections_without_data_are_left_out(changes, gone):
    assert headings(label_report(facts(**changes))) == tuple(title for title in SECTIONS if title not in gone)


def test_a_run_of_which_nothing_is_known_yet():
    page = label_report(LabelFacts(name="pets", command="goodgrain label init pets"))
    assert headings(page) == ("In brief", "Settings")
    assert "Nothing was decided yet." in page
    assert figures(page) == []
    doubts = label_report(facts(rounds=[RoundFacts(0, "random", 0, 0, 7, 7.0)], plane=None, last=()))
    assert "Nothing was decided yet." in doubts
    assert "in 1 round<" in doubts
    assert ("0", "random", "0", "0", "7", "", "7", "") in table(doubts, "learned from them too.")


def test_one_class_answered_and_no_test_set():
    page = label_report(facts(rounds=[RoundFacts(0, "random", 5, 0, 0, 5.0)], per_class={"cat": 5, "dog": 0}))
    assert "5 of 5 answers named a class (100%)." in page
    assert ("dog", "0") in table(page, "All labels, those known from the start included.")
    assert len(figures(page)) == 1  # the plane; of one round there is no curve


def test_the_curve_shows_what_was_measured():
    both = curve(facts().rounds)
    assert [line.name for line in both.data] == ["accuracy", "answers of a class"]
    assert list(both.data[0].y) == pytest.approx([50, 62.5, 66.66])
    assert list(both.data[1].y) == pytest.approx([100 / 3, 5000 / 99, 70])
    gaps = curve([RoundFacts(0, "random", 0, 0, 3, 3.0, 0.5), RoundFacts(1, "conf", 1, 1, 0, 2.0)])
    assert [(list(line.x), list(line.y)) for line in gaps.data] == [([0], [50]), ([1], [50])]
    unmeasured = curve([RoundFacts(0, "random", 1, 1, 0, 2.0), RoundFacts(1, "conf", 2, 0, 0, 2.0)])
    assert [line.name for line in unmeasured.data] == ["answers of a class"]


def test_the_plane_tells_answers_apart_and_draws_ranks_behind():
    given = shown()
    figure = plane(given, OOD)
    ground, *points = figure.data
    assert [(one.name, len(one.x)) for one in points] == [("not asked for", 36), ("a class", 3), ("none of these", 1)]
    assert points[2].x[0] == pytest.approx(given["purity"][1], abs=1e-3)
    assert points[2].y[0] == pytest.approx(given["informativeness"][1], abs=1e-3)
    rows = np.array(ground.z, dtype=float)
    assert (rows.min(), rows.max()) == (0, 1)
    steeper_up = rows[-1, 0] - rows[0, 0] > rows[0, -1] - rows[0, 0]  # informativeness counts twice
    assert steeper_up
    assert [one.name for one in plane(shown(score=False), OOD).data] == ["not asked for", "a class", "none of these"]


def test_a_long_gallery_is_cut():
    page = label_report(facts(last=[(f"{i}.png", "cat") for i in range(60)]))
    assert len(gallery(page, "Answers")) == 24
    assert "The first 24 of 60 answers" in page


def nasty():
    return facts(
        name=NASTY,
        command=f"goodgrain label init {NASTY}",
        settings=[(NASTY, NASTY)],
        classes=(NASTY, "</script>"),
        rounds=[RoundFacts(k, NASTY, 3, 1, 0, 4.0, 0.5) for k in range(2)],
        hint=NASTY,
        last=[(NASTY, NASTY), ("</script><b>", OOD)],
        per_class={NASTY: 3, "</script>": 0},
    )


def test_names_like_scripts_are_text():
    page = label_report(nasty())
    assert "<script>document" not in page
    assert "<img src=x" not in page
    assert "</script><b>" not in page
    assert page.count("&lt;script&gt;document") >= 8
    for figure in figures(page):
        assert not [text for text in texts(figure) if "<script" in text]


def test_same_facts_same_text():
    assert label_report(facts()) == label_report(facts())


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_browser_draws_it_and_complains_of_nothing(browser, tmp_path, width, scheme):
    path = write(tmp_path / "report.html", label_report(facts()))
    assert pages.show(browser, path, width=width, scheme=scheme) == []
    marks = "p.querySelectorAll('.cartesianlayer :is(.js-line, .point, .hm image)').length"
    # The curve: two lines with three points each. The plane: 40 points and the ground.
    assert pages.ask(browser, f"[...document.querySelectorAll('.plot')].map(p => {marks})") == [8, 41]
    pictures = pages.ask(browser, "[...document.images].map(i => i.complete && i.naturalWidth)")
    assert all(pictures)
    assert len(pictures) == 3
    assert pages.ask(browser, "document.documentElement.scrollWidth") <= width
    fetched = "performance.getEntriesByType('resource').map(r => r.name).filter(n => !/^(data|blob):/.test(n))"
    assert pages.ask(browser, fetched) == []


def test_names_like_scripts_do_nothing_in_a_browser(browser, tmp_path):
    path = write(tmp_path / "report.html", label_report(nasty()))
    assert pages.show(browser, path) == []
    assert pages.ask(browser, "document.title") == f"Labelling report: {NASTY}"
    assert pages.ask(browser, "document.querySelectorAll('main img[onerror], .plot script, .plot img').length") == 0


def test_the_report_of_a_run_in_a_browser(browser, tmp_path):
    from tests.pipelines.label_toys import annotator, by_head, pictures

    from goodgrain.pipelines.label import label

    pool, test = pictures(36), pictures(12, 1)
    arguments = by_head(pool, test=test, test_embeddings=by_head(test)["embeddings"], seed=1)
    result = label(pool, annotator(pool, unsure_rate=0.1), output=tmp_path, rounds=3, **arguments)
    page = result.report.read_text()
    assert headings(page) == SECTIONS
    assert "goodgrain.label(...) with data, test, embeddings, test_embeddings in memory" in page
    answers = {line for line, _ in gallery(page, "Answers")}
    assert answers <= {"lying", "standing", "none of these"}
    assert pages.show(browser, result.report) == []
    drawn = pages.ask(browser, "[...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('.point').length)")
    assert len(drawn) == 2
    assert min(drawn) > 4
