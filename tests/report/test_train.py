import base64
import html
import re
from dataclasses import replace

import numpy as np
import pytest
from tests.report.reading import figures, gallery, headings, table, texts, titles
from tests.report.toys import CLASSES, SCORES, boxes, method_facts, ood_comparison, picture, train_facts

from goodgrain.report.train import train_report
from goodgrain.report.train_facts import Candidate, FoundBoxes, MethodFacts, OodSource
from goodgrain.report.train_views import SwitchedOff

SECTIONS = (
    "In brief",
    "Against standard training",
    "Training",
    "Between the classes",
    "Where the images lie",
    "What the model stopped looking at",
    "Boxes",
    "Out-of-distribution images",
    "Which OOD set will help",
    "Files that could not be used",
    "Settings",
)
NOTHING_SWITCHED_OFF = SwitchedOff.of([[1.0]], [[1.0]], [[1.0]], [[2.0]])


def without(*names):
    return {"methods": [method_facts(method, **dict.fromkeys(names)) for method in SCORES]}


def test_every_section_is_there_in_the_order_of_a_hurried_reader():
    page = train_report(train_facts())
    assert headings(page) == SECTIONS
    assert "<h1>Training report: toys</h1>" in page
    assert len(figures(page)) == 4


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"methods": [method_facts(method, terms={}) for method in SCORES]}, {"Training"}),
        (without("cosine"), {"Between the classes"}),
        (without("projection"), {"Where the images lie"}),
        ({"switched_off": None}, {"What the model stopped looking at"}),
        ({"boxes": None}, {"Boxes"}),
        ({"sources": ()}, {"Out-of-distribution images"}),
        ({"candidates": ()}, {"Which OOD set will help"}),
        ({"rejected": ()}, {"Files that could not be used"}),
        ({"settings": ()}, {"Settings"}),
        ({"thumbnail": None}, {"Boxes"}),
    ],
)
def test_sections_without_data_are_left_out(changes, gone):
    assert headings(train_report(train_facts(**changes))) == tuple(title for title in SECTIONS if title not in gone)


def test_a_section_needs_the_data_of_one_method_only():
    bare = {"terms": {}, "cosine": None, "projection": None}
    methods = [method_facts("taufe"), method_facts("standard", **bare)]
    page = train_report(train_facts(methods=methods, boxes=None))
    assert headings(page) == tuple(title for title in SECTIONS if title != "Boxes")
    panels = [[note["text"] for note in figure["layout"].get("annotations", ())] for figure in figures(page)]
    assert panels == [["cross-entropy", "penalty of taufe"], ["taufe"], ["taufe", "0"], []]


def test_pictures_show_standard_training_first():
    cosines, projections = figures(train_report(train_facts()))[1:3]
    for figure in (cosines, projections):
        assert [note["text"] for note in figure["layout"]["annotations"]][:3] == ["standard", "taufe", "oat"]


def test_small_losses_are_not_named_by_prefixes_of_units():
    falling = [method_facts(method, terms={"ood": [1.0, 1e-5]}) for method in SCORES]
    loss = figures(train_report(train_facts(methods=falling)))[0]
    assert (loss["layout"]["yaxis"]["type"], loss["layout"]["yaxis"]["exponentformat"]) == ("log", "e")


def test_a_map_without_any_pair_of_images_is_shown_blank():
    blank = method_facts("taufe", cosine=np.full((5, 5), np.nan))
    cosines = figures(train_report(train_facts(methods=[blank], boxes=None)))[1]
    assert cosines["layout"]["coloraxis"]["cmin"] == 0
    z = np.frombuffer(base64.b64decode(cosines["data"][0]["z"]["bdata"]), cosines["data"][0]["z"]["dtype"])
    assert np.isnan(z).all()


def test_a_single_method_is_not_called_a_comparison():
    assert headings(train_report(train_facts(methods=[method_facts("taufe")], boxes=None)))[1] == "What was measured"


def test_the_barest_training_makes_a_page_without_figures():
    page = train_report(ood_comparison(method="taufe", methods=[MethodFacts(name="taufe")], candidates=(), settings=()))
    assert headings(page) == ("In brief",)
    assert "taufe: was trained." in page
    assert "<script" not in page


def test_a_comparison_of_ood_sets_is_a_page_of_its_own():
    page = train_report(ood_comparison())
    assert headings(page) == ("In brief", "Which OOD set will help", "Settings")
    assert "<h1>OOD sets for toys</h1>" in page
    assert "--compare-ood</" in page
    assert "<script" not in page


def test_features_show_what_excites_them():
    facts = train_facts()
    off = facts.switched_off
    page = train_report(facts)
    shown = [title for title in titles(page) if title.startswith("Feature ")]
    assert len(shown) == 6
    first = int(off.features[0])
    assert shown[:2] == [
        f"Feature {first}: OOD images that excite it most",
        f"Feature {first}: images of the target that excite it most",
    ]
    assert gallery(page, shown[0]) == [("OOD", facts.ood_ids[i].partition("/")[2]) for i in off.top_outside[0]]
    names = [facts.ids[i].partition("/")[2] for i in off.top_inside[0]]
    assert gallery(page, shown[1]) == [
        (CLASSES[facts.labels[i]], name) for i, name in zip(off.top_inside[0], names, strict=True)
    ]
    assert f"Response to OOD images: {off.before[0]:.2f} before, {off.after[0]:.2f} after." in page


def test_features_without_pictures_are_shown_as_bars_only():
    page = train_report(train_facts(thumbnail=None, ood_thumbnail=None))
    assert "What the model stopped looking at" in headings(page)
    assert not [title for title in titles(page) if title.startswith("Feature ")]


def off_number(found, *, sure):
    """What is told of the first feature's responses."""
    before, after, feature = f"{found.before[0]:.2f}", f"{found.after[0]:.2f}", found.features[0]
    return (
        f"{before} before, {after} after." if sure else f"{before}. Of feature {feature} in taufe, perhaps another one"
    )


@pytest.mark.parametrize(
    ("agreement", "sentence"),
    [
        (0.5, "by 0.50 (median). That is near enough to compare feature by feature."),
        (0.49, "by 0.49 (median). That is low, below 0.5: training has parted them."),
    ],
)
def test_bars_are_trusted_as_far_as_the_features_agree(agreement, sentence):
    found = train_facts().switched_off
    same = [getattr(found, name) for name in ("features", "before", "after", "top_inside", "top_outside")]
    page = train_report(train_facts(switched_off=SwitchedOff(*same, agreement)))
    assert sentence in page
    sure = agreement >= 0.5
    assert ("What the model stopped looking at" in headings(page)) is sure
    assert ("What may have been switched off" in headings(page)) is not sure
    assert ("Response before and after" in titles(page)) is sure
    assert ("Those that lost most" in page) is sure
    number = off_number(found, sure=sure)
    assert f"In the standard model. Response to OOD images: {number}" in page


def test_a_feature_with_the_pictures_of_another_is_not_shown_again():
    facts = train_facts()
    off = facts.switched_off
    # Of eight pictures the second row repeats five of the first, the third four, and the fourth five of the third.
    top = np.arange(8 * len(off.features)).reshape(-1, 8) % len(facts.ood_ids)
    top[1] = [*top[0, :5], 70, 71, 72]
    top[2] = [*top[0, 4:], 73, 74, 75, 76]
    top[3] = [*top[2, 3:], 77, 78, 79]
    page = train_report(train_facts(switched_off=replace(off, top_outside=top)))
    shown = [title.split(":")[0] for title in titles(page) if title.endswith("OOD images that excite it most")]
    assert shown == [f"Feature {off.features[row]}" for row in (0, 2, 4)]
    repeats = f"{off.features[1]}, {off.features[3]}"
    assert f"Not shown, since most of their OOD pictures are those below: feature {repeats}." in page
    assert "Not shown, since" not in train_report(train_facts(switched_off=None))


def test_where_all_features_show_the_same_one_is_shown():
    off = train_facts().switched_off
    same = np.tile(np.arange(8), (len(off.features), 1))
    page = train_report(train_facts(switched_off=replace(off, top_outside=same)))
    assert len([title for title in titles(page) if title.startswith("Feature ")]) == 2


def test_a_picture_has_its_files_own_name_and_all_of_it_on_pointing():
    long = "n" * 90 + ".png"
    names = [f"ood/tiny/{i}/{long}" for i in range(80)]
    off = train_facts().switched_off
    page = train_report(train_facts(ood_ids=names))
    shown = gallery(page, f"Feature {off.features[0]}: OOD images that excite it most")
    assert shown == [("OOD", long)] * 8
    for i in off.top_outside[0]:
        assert f'<span class="note" title="ood/tiny/{i}/{long}">{long}</span>' in page


def test_standards_loss_stands_beside_the_same_part_of_the_others():
    own = {"loss": [3.0, 2.0], "cross_entropy": [2.0, 1.5], "ood": [1.0, 0.5]}
    methods = [
        method_facts("taufe", terms=own),
        method_facts("oat", terms=own),
        method_facts("standard", terms={"loss": [2.5, 1.0]}),
    ]
    loss = figures(train_report(train_facts(methods=methods)))[0]
    panels = [note["text"] for note in loss["layout"]["annotations"]]
    assert panels == ["loss", "cross_entropy", "penalty of taufe", "penalty of oat"]
    drawn = [(line["name"], line.get("xaxis", "x")) for line in loss["data"]]
    assert drawn == [
        *(("taufe", "x"), ("oat", "x"), ("standard", "x")),
        *(("taufe", "x2"), ("oat", "x2"), ("standard", "x2")),
        *(("taufe", "x3"), ("oat", "x4")),
    ]


def test_the_part_without_a_name_of_its_own_stays_where_it_is():
    two = {"loss": [3.0], "labeled": [2.0], "unlabeled": [0.5], "ood": [1.0]}  # MixMatch: no one part is all of it
    methods = [method_facts("taufe", terms=two), method_facts("standard", terms={"loss": [2.5]})]
    page = train_report(train_facts(methods=methods, boxes=None))
    drawn = [(line["name"], line.get("xaxis", "x")) for line in figures(page)[0]["data"] if line["name"] == "standard"]
    assert drawn == [("standard", "x")]
    assert "is all of the loss" not in page


def test_penalties_say_what_they_measure_and_how_it_goes_with_the_table():
    page = train_report(train_facts())
    loss = figures(page)[0]["layout"]
    axes = {"penalty of taufe": "yaxis2", "penalty of oat": "yaxis3"}
    assert [note["text"] for note in loss["annotations"]][1:] == list(axes)
    units = [loss[axis]["title"]["text"] for axis in axes.values()]
    assert units == ["mean square of a feature", "cross-entropy to uniform, nats"]
    assert "title" not in loss["yaxis"]
    assert (
        "TAUFE&#39;s penalty is a mean over the d = 16 features, while training; ‖f(OOD)‖² in the table above" in page
    )
    assert "a sum over the d = 16 features of an image" in page
    alone = train_report(train_facts(methods=[method_facts("oat"), method_facts("standard")], method="oat", boxes=None))
    assert "TAUFE&#39;s penalty" not in alone


def test_where_nothing_was_switched_off_that_is_said():
    page = train_report(train_facts(switched_off=NOTHING_SWITCHED_OFF))
    assert "No feature responds less to OOD images than in standard training." in page
    assert "Response before and after" not in titles(page)


def test_boxes_tell_their_overlap_by_hand():
    half, none = np.array([[0.0, 0.0, 0.5, 1.0]]), np.array([[0.0, 0.0, 0.0, 0.0]])
    found = FoundBoxes(np.array([7]), np.array([[0.0, 0.0, 1.0, 1.0]]), {"oat": none, "standard": none, "taufe": half})
    page = train_report(train_facts(boxes=found))
    assert gallery(page, "Some test images") == [("IoU 0.00 → 0.50", "test/007.png")]
    assert "Left standard, right taufe." in page
    alone = FoundBoxes(np.array([7]), np.array([[0.0, 0.0, 1.0, 1.0]]), {"taufe": half})
    page = train_report(train_facts(boxes=alone))
    assert gallery(page, "Some test images") == [("IoU 0.50", "test/007.png")]
    assert "Left " not in page.split("Some test images")[1].split("</p>")[0]


def test_boxes_are_drawn_with_the_seed_and_shown_in_order():
    drawn = [note for _, note in gallery(train_report(train_facts()), "Some test images")]
    assert len(drawn) == 12
    assert drawn == sorted(drawn)
    assert set(drawn) <= {f"test/{i:03}.png" for i in boxes().positions}
    other = [note for _, note in gallery(train_report(train_facts(seed=1)), "Some test images")]
    assert other != drawn


def test_images_without_a_label_are_shown_as_such():
    off = train_facts().switched_off
    labels = np.full(120, -1)
    labels[off.top_inside[0][1]] = 2
    page = train_report(train_facts(labels=labels))
    lines = [line for line, _ in gallery(page, f"Feature {off.features[0]}: images of the target that excite it most")]
    assert lines == ["no label", "cat", *["no label"] * 6]


def test_sources_say_how_many_copies_were_left_out_and_show_them():
    page = train_report(train_facts())
    assert table(page, "their features are the wanted ones.</caption>") == [
        ("Source", "Trained on", "Copies left out"),
        ("places", "480", "2"),
        ("textures", "20", "0"),
    ]
    assert gallery(page, "Near-duplicates in places") == [("copy", "p3 · train/1.png"), ("copy", "p5 · train/0.png")]
    assert "2 of 2. Left the OOD set&#39;s image, right the target&#39;s own." in page
    assert "Near-duplicates in textures" not in titles(page)


def test_of_many_copies_the_first_eight_are_shown_and_all_are_counted():
    many = OodSource("places", 5, np.array([[i, 0] for i in range(1200)]), [str(i) for i in range(1200)], picture)
    page = train_report(train_facts(sources=[many]))
    assert [note for _, note in gallery(page, "Near-duplicates in places")] == [f"{i} · train/0.png" for i in range(8)]
    assert "8 of 1,200." in page
    assert table(page, "their features are the wanted ones.</caption>")[1] == ("places", "5", "1,200")


def test_copies_without_pictures_are_counted_only():
    page = train_report(train_facts(sources=[OodSource("places", 5, np.array([[3, 1]]))]))
    assert table(page, "their features are the wanted ones.</caption>")[1] == ("places", "5", "1")
    assert "Near-duplicates in places" not in titles(page)


def test_ood_sets_are_listed_with_the_likeliest_first():
    assert table(train_report(train_facts()), "repeat one of the target&#39;s.</caption>") == [
        ("OOD set", "Shared (%)", "Gain", "Images", "Copies"),
        ("places", "47.0", "+2.1", "10,000", "3"),
        ("street numbers", "31.0", "—", "26,032", "0"),
        ("textures", "12.0", "-0.4", "5,640", "0"),
    ]


def test_where_no_gain_was_measured_there_is_no_column_of_it():
    page = train_report(ood_comparison(candidates=[Candidate("a", 1, 0, 0.1), Candidate("b", 1, 0, 0.2)]))
    assert table(page, "repeat one of the target&#39;s.</caption>") == [
        ("OOD set", "Shared (%)", "Images", "Copies"),
        ("b", "20.0", "1", "0"),
        ("a", "10.0", "1", "0"),
    ]
    assert "Gain:" not in page


@pytest.mark.parametrize(
    ("gains", "sentence"),
    [
        ((None, None), "Train with the first and the last to know."),
        ((None,), "Train with it to know."),
        ((0.1, None), "Train with the first and the last to know."),
        ((0.1, 0.2), "the order of the measured gains right in 0 of 1 pair of sets"),
        ((0.2, 0.2), "the order of the measured gains right in 0 of 1 pair of sets"),
        ((0.3, 0.1, 0.2), "the order of the measured gains right in 2 of 3 pairs of sets"),
    ],
)
def test_the_estimate_is_trusted_as_far_as_it_was_right(gains, sentence):
    candidates = [Candidate(f"set {i}", 1, 0, 0.9 - i / 10, gain) for i, gain in enumerate(gains)]
    assert sentence in train_report(ood_comparison(candidates=candidates))


@pytest.mark.parametrize(
    ("count", "sentence"),
    [(1, "1 file was set aside."), (50, "50 files were set aside."), (63, "63 files were set aside; the first 50 are")],
)
def test_the_first_fifty_unusable_files_are_listed(count, sentence):
    page = train_report(train_facts(rejected=[(f"bad-{i}.png", "empty") for i in range(count)]))
    assert sentence in page
    assert page.count("<td>empty</td>") == min(count, 50)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "</script>", "ünï ☃ 日本", "n" * 300])
def test_names_and_ids_are_text_everywhere(name):
    classes = (name, *CLASSES[1:])
    found = boxes()
    renamed = {"taufe": name, "standard": "standard"}
    facts = train_facts(
        name=name,
        command=name,
        settings=[(name, name)],
        task=name,
        measure=name,
        method=name,
        methods=[
            method_facts(old, name=new, auroc={name: (0.7, 0.6, 0.5)}, terms={name: [2.0, 1.0]})
            for old, new in renamed.items()
        ],
        classes=classes,
        ids=[f"{name}{i}" for i in range(120)],
        ood_ids=[f"{name}{i}" for i in range(80)],
        boxes=FoundBoxes(found.positions, found.true, {new: found.predicted[old] for old, new in renamed.items()}),
        sources=[OodSource(name, 1, np.array([[0, 1]]), [name], picture)],
        target_ids=[name, name],
        candidates=[Candidate(name, 1, 0, 0.5, 0.1), Candidate("b", 1, 0, 0.4, 0.1)],
        rejected=[(name, name)],
    )
    page = train_report(facts)
    assert headings(page) == SECTIONS
    visible = re.sub(r"<script[^>]*>.*?</script>", "", page, flags=re.DOTALL)
    assert "<script" not in visible
    assert "alert(1)</script>" not in page
    assert html.escape(name) in visible
    for words in texts(figures(page)):
        assert "<" not in words.replace("<extra></extra>", ""), "plotly reads a small HTML"


def test_same_facts_same_text():
    assert train_report(train_facts()) == train_report(train_facts())


def test_the_page_loads_nothing():
    page = train_report(train_facts())
    written = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)  # the drawing library names its homepage
    assert not re.search(r"https?:|//cdn|@import|<link|<iframe|url\(", written)
    assert {source[:5] for source in re.findall(r'src="(.*?)"', written)} == {"data:"}
    assert "connect-src 'none'" in page
    assert not re.search(r"<script[^>]+src=", page)


def test_a_large_run_stays_small():
    c, n = 30, 20_000
    rng = np.random.default_rng(0)
    classes = [f"class {i}" for i in range(c)]
    labels = np.arange(n) % c
    large = {
        "cosine": np.eye(c),
        "projection": type(method_facts("taufe").projection).of(
            rng.normal(size=(n, 8)), labels, rng.normal(size=(n, 8))
        ),
    }
    facts = train_facts(
        classes=classes,
        ids=np.arange(n).astype(str),
        labels=labels,
        ood_ids=np.arange(n).astype(str),
        methods=[method_facts(name, **large) for name in SCORES],
        settings=[(f"name {i}", "value") for i in range(60)],
        rejected=[(f"bad-{i}", "empty") for i in range(10_000)],
    )
    assert len(train_report(facts).encode()) < 7_000_000
