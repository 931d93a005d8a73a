import html
import json
import re

import numpy as np
import pytest

from goodgrain.errors import InputError
from goodgrain.report.facts import Copies, Noise, Threshold
from goodgrain.report.plots import CurvePoint
from goodgrain.report.prune import prune_report
from goodgrain.scores.suspects import Suspects

NOBODY = Suspects(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))
BARE = {
    "settings": (),
    "classes": (),
    "labels": None,
    "thumbnail": None,
    "accuracy": (),
    "advice": "",
    "noise": None,
    "suspects": None,
    "confidence": None,
    "neighbourhood_confidence": None,
    "threshold": None,
    "duplicates": None,
    "overlap": None,
    "rejected": (),
}


def headings(page):
    return re.findall(r"<h2[^>]*>(.*?)</h2>", page)


def titles(page):
    return re.findall(r"<h3>(.*?)</h3>", page)


def gallery(page, title):
    """(line, note) of every tile under a title."""
    part = page.split(f"<h3>{title}</h3>")[1].split("</figure>")[0]
    cells = [re.findall(rf'<span class="{name}">(.*?)</span>', part) for name in ("line", "note")]
    return list(zip(*map(list, cells), strict=True))


def figures(page):
    return [json.loads(text) for text in re.findall(r'<script type="application/json">(.*?)</script>', page)]


def test_every_section_is_there_in_the_order_of_a_hurried_reader(full, sections):
    assert tuple(headings(prune_report(full()))) == sections


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"accuracy": ()}, {"Accuracy"}),
        ({"suspects": None}, {"Labels that look wrong"}),
        ({"noise": None}, {"Label noise"}),
        ({"confidence": None, "neighbourhood_confidence": None}, {"Confidence"}),
        ({"threshold": None}, {"Neighbourhood threshold"}),
        ({"duplicates": None, "overlap": None}, {"Copies"}),
        ({"rejected": ()}, {"Files that could not be used"}),
        ({"settings": ()}, {"Settings"}),
        ({"labels": None, "thumbnail": None, "suspects": None}, {"What was kept", "Labels that look wrong"}),
    ],
)
def test_sections_without_data_are_left_out(full, sections, changes, gone):
    assert headings(prune_report(full(**changes))) == [title for title in sections if title not in gone]


def test_the_barest_facts_make_a_page_without_figures(full):
    page = prune_report(full(**BARE))
    assert headings(page) == ["In brief"]
    assert "Kept 60 of 120 (50%) with prune4rel." in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "Kept 60 of 120 (50%) with prune4rel; accuracy on the test set 61.2%; 30 labels look wrong."),
        ({"suspects": NOBODY}, "accuracy on the test set 61.2%; no label looks wrong."),
        ({"accuracy": [CurvePoint("uniform", 60, 0.5, 0, 1)], "suspects": None}, "(50%) with prune4rel."),
        ({"kept": np.arange(37), "suspects": None}, "Kept 37 of 120 (30.8%) with prune4rel."),
    ],
)
def test_the_first_sentence_says_what_happened(full, changes, sentence):
    lead = re.search(r'<p class="lead">(.*?)</p>', prune_report(full(**changes)))[1]
    assert lead.endswith(sentence)


def test_the_accuracy_table_has_a_row_per_method_and_a_column_per_budget(full):
    table = re.search(r"<table>.*?</table>", prune_report(full()), flags=re.DOTALL)[0]
    assert re.findall(r"<th [^>]*>(.*?)</th>", table) == ["Method", "30 (25%)", "60 (50%)"]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", table)
    assert cells == ["prune4rel", "50.0 ± 1.0", "61.2 ± 1.2", "uniform", "—", "58.0 ± 2.0"]


def test_one_measured_accuracy_is_no_curve(full):
    page = prune_report(full(accuracy=[CurvePoint("prune4rel", 60, 0.612, 0, 1)]))
    assert "Accuracy against examples kept" not in page
    assert "<td>prune4rel</td>" in page


def test_galleries_show_who_was_kept_first_last_and_not_at_all(full):
    facts = full()
    page = prune_report(facts)
    names = [(facts.classes[facts.labels[i]], facts.ids[i]) for i in facts.kept]
    assert gallery(page, "Kept first") == names[:24]
    assert gallery(page, "Kept last") == names[-24:]
    dropped = gallery(page, "Dropped, drawn at random")
    assert len(dropped) == 24
    assert not {name for _, name in dropped} & {name for _, name in names}
    assert gallery(prune_report(full(seed=1)), "Dropped, drawn at random") != dropped


def test_no_example_is_in_two_kept_galleries(full):
    page = prune_report(full(kept=np.arange(30)))
    assert [name for _, name in gallery(page, "Kept last")] == [f"id-{i:03}" for i in range(24, 30)]
    assert "Kept last" not in prune_report(full(kept=np.arange(24)))


def test_next_in_line_keeps_its_order_and_everything_kept_drops_nothing(full):
    page = prune_report(full(kept=np.arange(10), next_up=np.array([50, 20, 30])))
    assert [name for _, name in gallery(page, "Dropped, next in line")] == ["id-050", "id-020", "id-030"]
    assert "Dropped" not in "".join(titles(prune_report(full(kept=np.arange(120)))))


def test_suspects_say_given_suggested_and_confidence(full):
    page = prune_report(full())
    assert len(gallery(page, "The 24 surest of 30")) == 24
    assert gallery(page, "The 24 surest of 30")[0] == ("cat → dog", "90% · id-000")
    listed = prune_report(full(thumbnail=None))
    assert '<td>id-000</td><td>cat</td><td>dog</td><td class="number">90%</td>' in listed
    assert "<img" not in listed


def test_the_most_frequent_suggestions_are_counted(full):
    labels = np.zeros(120, dtype=np.int64)
    found = Suspects(np.array([0, 1, 2]), np.array([2, 1, 2]), np.array([0.9, 0.8, 0.7]))
    page = prune_report(full(labels=labels, suspects=found))
    rows = page.split("The most frequent suggestions.</caption>")[1].split("</table>")[0]
    assert re.findall(r"<td[^>]*>(.*?)</td>", rows) == ["cat", "ship", "2", "cat", "dog", "1"]


def test_examples_without_a_label_are_shown_as_such_and_counted_nowhere(full):
    labels = np.array([-1, -2, *([0] * 118)])
    page = prune_report(full(labels=labels, suspects=None, kept=np.array([0, 1, 2])))
    assert [line for line, _ in gallery(page, "Kept first")] == ["no label", "no label", "cat"]
    assert html.unescape(page).count("cat  0.8%") == 1  # 1 of 118


def test_noise_of_one_budget_is_a_sentence_and_a_tile(full):
    page = prune_report(full(noise=Noise([60], [0.071], 0.172)))
    assert "Labels known to be wrong: 17.2% of all examples, 7.1% of 60 kept." in page
    assert "Wrong labels among the kept" not in titles(page)
    assert "<dd>7.1% <small>17.2% before</small></dd>" in page


def test_histograms_count_every_example_once(full):
    facts = full()
    kept, dropped = next(
        fig for fig in figures(prune_report(facts)) if len(fig["data"]) == 2 and "width" in fig["data"][0]
    )["data"]
    assert sum(row[0] for row in kept["customdata"]) == len(facts.kept)
    assert sum(row[0] for row in dropped["customdata"]) == len(facts.ids) - len(facts.kept)
    edges = np.histogram_bin_edges(facts.confidence, bins=40)
    assert [row[0] for row in kept["customdata"]] == np.histogram(facts.confidence[facts.kept], edges)[0].tolist()


def test_a_given_threshold_needs_no_figure(full):
    page = prune_report(full(threshold=Threshold(0.95, "It was given.")))
    assert "Neighbours are examples with similarity 0.95 or more. It was given." in page
    assert "Neighbours under each threshold" not in titles(page)


def test_copies_are_counted_and_shown_in_pairs(full):
    page = prune_report(full())
    assert "2 pairs within the data show the same picture; 1 carry two different labels." in page
    assert "1 pair of train and test show the same picture" in page
    assert gallery(page, "Pairs of train and test") == [("dog", "id-004 · test-0")]
    none = prune_report(full(duplicates=Copies(np.empty((0, 2), dtype=np.int64)), overlap=None))
    assert "No picture is in the data twice." in none


def test_the_first_fifty_unusable_files_are_listed(full):
    page = prune_report(full(rejected=[(f"bad-{i}.png", "empty") for i in range(63)]))
    assert "63 files were set aside; the first 50 are listed." in page
    assert "bad-49.png" in page
    assert "bad-50.png" not in page


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "</script>", "ünï ☃ 日本", "n" * 300])
def test_class_names_and_ids_are_text_everywhere(full, name):
    ids = [f"{name}{i}" for i in range(120)]
    page = prune_report(full(classes=(name, "dog", "ship"), ids=ids, rejected=[(name, name)], name=name))
    visible = re.sub(r"<script[^>]*>.*?</script>", "", page, flags=re.DOTALL)
    assert "<script" not in visible
    assert "alert(1)</script>" not in page
    assert html.escape(name) in visible.replace("&#39;", "&#x27;")


def test_same_facts_same_bytes(full):
    assert prune_report(full()) == prune_report(full())


def test_a_large_run_stays_small(full):
    n = 50_000
    rng = np.random.default_rng(0)
    changes = {
        "ids": np.arange(n).astype(str),
        "kept": np.arange(0, n, 5),
        "classes": tuple(f"class {i}" for i in range(1000)),
        "labels": np.arange(n) % 1000,
        "suspects": Suspects(np.arange(4000), np.zeros(4000, dtype=np.int64), np.full(4000, 0.5)),
        "confidence": rng.random(n),
        "neighbourhood_confidence": rng.random(n),
    }
    assert len(prune_report(full(**changes)).encode()) < 8_000_000


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kept": np.array([120])}, r"kept should be 0\.\.119; 120 is not"),
        ({"kept": np.array([], dtype=np.int64)}, "kept is empty"),
        ({"labels": np.zeros(7, dtype=np.int64)}, "labels has 7 rows, but there are 120 examples"),
        ({"classes": ("cat",)}, "labels has class 2, but there are 1 class names"),
        ({"confidence": np.zeros(5)}, "confidence has 5 rows"),
    ],
)
def test_facts_that_do_not_fit_together_are_refused(full, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        full(**changes)
