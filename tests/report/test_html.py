import base64
import hashlib
import html as entities
import re
from io import BytesIO

import pytest
from PIL import Image

from goodgrain.report.html import (
    Code,
    Fact,
    Facts,
    Figure,
    Gallery,
    Section,
    Table,
    Text,
    Tile,
    picture_bytes,
    render,
    write,
)
from goodgrain.report.plots import histogram

NASTY = ("<script>alert(1)</script>", "</script>", "<!--", '" onload="x', "{{ 7 * 7 }}", "日本語 ☃ é", "w" * 300)


def page_of(name):
    picture = picture_bytes(Image.new("L", (8, 8)))
    blocks = [
        Text(name),
        Code(name),
        Facts([Fact(name, name, name)]),
        Table([name], [[name]], name),
        Figure(histogram({name: [1.0, 2.0]}, unit=entities.escape(name)), name, name),
        Gallery(name, name, [Tile([picture], name, name)]),
    ]
    return render(name, name, [Section(name, blocks), Section("another", [Text("end")])])


def without_scripts(page):
    """The page without what runs or is read by what runs."""
    return re.sub(r"<script[^>]*>.*?</script>|<style>.*?</style>", "", page, flags=re.DOTALL)


@pytest.mark.parametrize("name", NASTY)
def test_text_from_data_is_text(name):
    page = page_of(name)
    shown = without_scripts(page)
    assert "alert(1)</script>" not in page
    assert shown.count("<script") == shown.count("</script") == shown.count("<!--") == 0
    assert 'onload="' not in shown
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", page)[0]
    assert entities.unescape(re.findall(r"<h1>(.*?)</h1>", page)[0]) == name
    assert page.count("</script>") == 3  # the drawing library, our drawing, and the data of one figure


def test_a_name_that_no_encoding_holds_is_spelled_out(tmp_path):
    page = render("r", "l", [Section("s", [Text("file \udcff.png")])])
    assert "file \\udcff.png" in page
    assert write(tmp_path / "r.html", page).read_text("utf-8") == page


def test_only_the_scripts_of_the_page_may_run_and_nothing_may_be_fetched():
    page = page_of("plain")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digests = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts}
    assert set(re.findall(r"'sha256-([^']*)'", policy)) == digests
    assert len(digests) == 2
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert not re.findall(r'(?:src|href)="(?!data:|#)', without_scripts(page))
    assert "<link" not in without_scripts(page)


def test_the_drawing_library_is_there_once_and_only_with_a_figure():
    figure = Figure(histogram({"a": [1.0]}, unit="x"), "t", "c")
    two = render("r", "l", [Section("s", [figure, figure])])
    assert two.count("plotly.js v") == page_of("a").count("plotly.js v") == 1
    assert len(two) < 8_000_000
    none = render("r", "l", [Section("s", [Text("no figure")])])
    assert "<script" not in none
    assert "script-src 'none'" in none


def test_same_input_same_bytes():
    assert page_of("a") == page_of("a")


def test_contents_name_every_section_and_lead_to_it():
    page = render("r", "l", [Section("One & all", [Text("a")]), Section("Two", [Text("b")])])
    assert '<a href="#section-1">One &amp; all</a>' in page
    assert 'id="section-2"' in page
    assert "<nav" not in render("r", "l", [Section("One", [Text("a")])])


def test_small_pictures_stay_exact_and_large_ones_get_light():
    small = Image.effect_noise((32, 20), 80)
    with Image.open(BytesIO(picture_bytes(small))) as stored:
        assert stored.format == "PNG"
        assert stored.tobytes() == small.tobytes()
    large = Image.new("RGBA", (300, 150), "red")
    data = picture_bytes(large)
    with Image.open(BytesIO(data)) as stored:
        assert (stored.format, stored.size) == ("JPEG", (96, 48))
    assert large.size == (300, 150)
    page = render("r", "l", [Section("s", [Gallery("g", "c", [Tile([picture_bytes(small), data], "a", "b")])])])
    exact, light = re.findall(r"<img[^>]*>", page)
    assert 'width="32" height="20" alt="a, b" class="small"' in exact
    assert "data:image/jpeg;base64," in light
    assert "class" not in light


def test_numbers_stand_flush_right():
    page = render("r", "l", [Section("s", [Table(["Name", "Count"], [["a", "1"]], "c", frozenset({1}))])])
    assert '<td>a</td><td class="number">1</td>' in page


def test_a_page_replaces_an_older_one_and_leaves_nothing_behind(tmp_path):
    write(tmp_path / "report.html", "old")
    write(tmp_path / "report.html", "new")
    assert (tmp_path / "report.html").read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "missing" / "report.html", "new")
