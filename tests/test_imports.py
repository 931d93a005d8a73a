"""The import order of the house: downwards only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import goodgrain

SRC = Path(goodgrain.__file__).parent
ORDER = [
    {"errors"},
    {"checks", "files", "metrics", "observations"},
    {"losses", "scores", "neighbors"},
    {"select", "cluster", "meta"},
    {"data", "models"},
    {"learn"},
    {"teacher"},
    {"run", "report"},
    {"annotate"},
    {"pipelines"},
    {"cli", "__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
FILES = sorted(path for path in SRC.rglob("*.py") if path.parent != SRC or path.stem != "__init__")


def room(path):
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imported(path):
    """Rooms that a file imports when it is imported itself, or later."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            parts = (name or "").split(".")
            if parts[0] == "goodgrain" and len(parts) > 1:
                yield parts[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_rooms_import_downwards_only(path):
    assert room(path) in LEVEL, f"give {room(path)} a place in the order"
    for other in imported(path):
        assert other == room(path) or LEVEL[other] <= LEVEL[room(path)], f"{room(path)} should not import {other}"


def modules_after(statement):
    script = f"import sys; {statement}; print(' '.join(sys.modules))"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()


def test_importing_the_package_imports_nothing_heavy():
    assert not {"torch", "numpy", "sklearn"} & set(modules_after("import goodgrain"))


@pytest.mark.parametrize(
    "name", ["goodgrain.select", "goodgrain.scores", "goodgrain.observations", "goodgrain.neighbors"]
)
def test_selections_and_scores_work_without_torch(name):
    assert "torch" not in modules_after(f"import {name}")


def test_the_command_line_answers_before_torch_is_there():
    assert "torch" not in modules_after("import goodgrain.cli.main")


def test_public_names_are_there():
    for name in goodgrain.__all__:
        assert getattr(goodgrain, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'prone'"):
        goodgrain.prone  # noqa: B018
