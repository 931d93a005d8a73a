"""A self-contained HTML page from a few kinds of block: no network, no second file, everything from data escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from PIL import Image
from plotly.offline import get_plotlyjs

from goodgrain.files import whole_file

_SMALL = 64  # pictures below this many pixels are enlarged as they are, without smoothing


@dataclass(frozen=True)
class Text:
    """One paragraph of plain text."""

    text: str
    kind = "text"


@dataclass(frozen=True)
class Code:
    """A command or a setting, letter by letter."""

    text: str
    kind = "code"


@dataclass(frozen=True)
class Fact:
    """One number that matters: its name, the number, and a few words beside it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Facts:
    """Numbers that matter, side by side."""

    items: Sequence[Fact]
    kind = "facts"


@dataclass(frozen=True)
class Table:
    """Rows under a header.

    Args:
        header: one name per column.
        rows: one text per column each.
        caption: what the table holds, in one sentence.
        numbers: columns (0-based) that hold numbers and are set flush right.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    numbers: frozenset[int] = frozenset()
    kind = "table"


@dataclass(frozen=True)
class Figure:
    """A plotly figure.

    Args:
        plot: the figure; text from data must be escaped in it, for plotly reads a small HTML.
        title: what it shows; also what a screen reader says.
        caption: how to read it, in one plain sentence.
    """

    plot: go.Figure
    title: str
    caption: str
    kind = "figure"

    @property
    def json(self) -> Markup:
        """The figure as JSON that no text in it can end early."""
        return htmlsafe_json_dumps(json.loads(self.plot.to_json(engine="json")))


@dataclass(frozen=True)
class Tile:
    """One example of a gallery, or a pair of them.

    Args:
        pictures: PNG or JPEG bytes, shown side by side.
        line: what matters about it ("cat", "cat → dog").
        note: what identifies it.
        full: what shows on pointing at the note, where that is less than all of the name.
    """

    pictures: Sequence[bytes]
    line: str
    note: str = ""
    full: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pictures in rows, each with its line and note."""

    title: str
    caption: str
    items: Sequence[Tile]
    kind = "gallery"


@dataclass(frozen=True)
class Row:
    """One row of a search table.

    Args:
        kept: whether it was kept.
        group: its cluster; -1 for none.
        rank: its place there, 1 first; 0 for none.
        request: what was asked.
        response: what was answered.
        why: the verdict in words.
        id: what identifies it.
    """

    kept: bool
    group: int
    rank: int
    request: str
    response: str
    why: str
    id: str


@dataclass(frozen=True)
class Search:
    """Rows that a reader can search and filter, shown some at a time.

    Args:
        title: what they are.
        caption: how to read them, in one plain sentence.
        rows: all of them.
        words: cluster -> what the teacher said of it.
        grouped: whether there are clusters.
    """

    title: str
    caption: str
    rows: Sequence[Row]
    words: Mapping[int, Sequence[str]]
    grouped: bool
    kind = "search"

    @property
    def json(self) -> Markup:
        """All rows as JSON that no text in it can end early."""
        rows = [[int(r.kept), r.group, r.rank, r.request, r.response, r.why, r.id] for r in self.rows]
        words = {str(group): list(said) for group, said in self.words.items()}
        return htmlsafe_json_dumps({"rows": rows, "words": words})


Block = Text | Code | Facts | Table | Figure | Gallery | Search


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


@dataclass(frozen=True)
class _Picture:
    source: str
    width: int
    height: int
    small: bool


def render(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page as HTML: same input, same text.

    Args:
        title: the heading.
        lead: the one sentence that a hurried reader takes away.
        sections: what follows, in this order.

    Returns:
        HTML that needs no network and no other file; the drawing library is in it once, if any figure is.

    Example:
        >>> page = render("Report", "Kept <all>.", [Section("Notes", [Text("a & b")])])
        >>> "Kept &lt;all&gt;." in page, "a &amp; b" in page
        (True, True)
    """
    kinds = {block.kind for section in sections for block in section.blocks}
    scripts = [_source("plotly.js"), _source("draw.js")] if "figure" in kinds else []
    scripts += [_source("search.js")] if "search" in kinds else []
    # Only these very scripts may run: text from data could not become a script even if escaping failed.
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'"
    page = _ENVIRONMENT.get_template("page.html").render(
        title=title,
        lead=lead,
        sections=sections,
        style=Markup(_source("page.css")),  # noqa: S704 (our own file)
        scripts=[Markup(script) for script in scripts],  # noqa: S704 (our own files)
        allowed=Markup(allowed),  # noqa: S704 (digests)
    )
    # A file name need not be Unicode: what no encoding can hold is spelled out.
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def write(path: str | Path, html: str) -> Path:
    """Write a page so that its file appears whole or not at all.

    Args:
        path: where it goes; an older file of that name is replaced.
        html: what `render` returned.

    Returns:
        The path.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    path = Path(path)
    with whole_file(path) as part:
        part.write_text(html, encoding="utf-8")
    return path


def picture_bytes(picture: Image.Image) -> bytes:
    """A picture as the page stores it: small ones as PNG, loss-free; large ones as JPEG of at most 96 pixels."""
    picture = picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
    buffer = BytesIO()
    if max(picture.size) < _SMALL:
        picture.save(buffer, "PNG", optimize=True)
    else:
        picture = picture.copy()
        picture.thumbnail((96, 96))
        picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _picture(data: bytes) -> _Picture:
    with Image.open(BytesIO(data)) as picture:
        source = f"data:{Image.MIME[str(picture.format)]};base64,{base64.b64encode(data).decode()}"
        return _Picture(source, picture.width, picture.height, max(picture.size) < _SMALL)


def _source(name: str) -> str:
    if name == "plotly.js":
        return str(get_plotlyjs())
    return files("goodgrain.report").joinpath("templates", name).read_text("utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


_ENVIRONMENT = Environment(
    loader=PackageLoader("goodgrain.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["picture"] = _picture
