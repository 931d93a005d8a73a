"""The kept part in the forms that other tools read: a folder tree, a Hugging Face dataset, a torch subset."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike
from PIL import Image

from goodgrain.checks import Positions, check_positions
from goodgrain.data.images import original
from goodgrain.data.pool import Pool
from goodgrain.errors import InputError
from goodgrain.files import whole_file

if TYPE_CHECKING:
    import torch.utils.data

_UNSAFE = re.compile(r"[^\w.\- ]+")


def copy_tree(pool: Pool, positions: ArrayLike, folder: str | Path, *, link: bool = False) -> Path:
    """Write images into a folder with a sub-folder a class, the layout that most trainers read.

    The original bytes are kept where there are any; images that are only pixels are written as PNG. Names come from
    the ids, with everything but letters, digits, dots, hyphens and underscores replaced, so that no id can point
    outside the folder.

    Args:
        pool: the images.
        positions: (k,) which ones; each needs a class label.
        folder: a new folder.
        link: make symbolic links to the original files instead of copies.

    Returns:
        The folder.

    Raises:
        InputError: the folder exists, an image has no class, or a link is asked of an image that is no file.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> pool = Pool.from_arrays(np.zeros((2, 8, 8), np.uint8), [0, 1], classes=["cat", "dog"], ids=["a", "b"])
        >>> tree = copy_tree(pool, [1], Path(tempfile.mkdtemp(), "kept"))
        >>> [str(path.relative_to(tree)) for path in sorted(tree.rglob("*.png"))]
        ['dog/b.png']
    """
    rows = _chosen(pool, positions)
    target = Path(folder)
    if target.exists():
        raise InputError(f"{target} exists already. Give a new folder.")
    names = _safe_names(pool.classes)
    for name in names:
        (target / name).mkdir(parents=True)
    taken: set[str] = set()
    for row in rows.tolist():
        encoded = original(pool.source, row)
        suffix = _suffix(encoded)
        stem = _safe(str(pool.ids[row]).removesuffix(suffix))
        place = f"{names[pool.labels[row]]}/{stem}"
        number = 1
        while f"{place}{suffix}".lower() in taken:
            number += 1
            place = f"{names[pool.labels[row]]}/{stem}-{number}"
        taken.add(f"{place}{suffix}".lower())
        path = target / f"{place}{suffix}"
        if not link:
            path.write_bytes(_encoded(pool, row))
        elif isinstance(encoded, Path):
            path.symlink_to(encoded.resolve())
        else:
            raise InputError(f"image {str(pool.ids[row])!r} is no file of its own and cannot be linked. Copy instead.")
    return target


def hugging_face(pool: Pool, positions: ArrayLike, folder: str | Path) -> Path:
    """Write a dataset in the layout of the Hugging Face hub: `load_dataset(folder)` reads it.

    Args:
        pool: the images.
        positions: (k,) which ones, in this order; each needs a class label.
        folder: where `data/train-00000-of-00001.parquet` goes: columns image (bytes, path), label and id.

    Returns:
        The Parquet file.

    Raises:
        InputError: the file exists, or an image has no class.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> pool = Pool.from_arrays(np.zeros((2, 8, 8), np.uint8), [0, 1], classes=["cat", "dog"], ids=["a", "b"])
        >>> pq.read_table(hugging_face(pool, [1, 0], tempfile.mkdtemp())).column("id").to_pylist()
        ['b', 'a']
    """
    rows = _chosen(pool, positions)
    target = Path(folder) / "data" / "train-00000-of-00001.parquet"
    if target.exists():
        raise InputError(f"{target} exists already. Give a new folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    features: dict[str, Any] = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": list(pool.classes)},
        "id": {"_type": "Value", "dtype": "string"},
    }
    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("label", pa.int64()),
            ("id", pa.string()),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    with whole_file(target) as part, pq.ParquetWriter(part, schema) as writer:
        for start in range(0, len(rows), 1000):
            some = rows[start : start + 1000]
            columns = {
                "image": [{"bytes": _encoded(pool, row), "path": _safe(str(pool.ids[row]))} for row in some.tolist()],
                "label": pool.labels[some],
                "id": pool.ids[some].tolist(),
            }
            writer.write_table(pa.table(columns, schema=schema))
    return target


def torch_subset(pool: Pool, positions: ArrayLike) -> torch.utils.data.Subset[Any]:
    """The images as a `torch.utils.data.Subset` of pairs (float tensor (c, h, w) in [0, 1], int label).

    Args:
        pool: the images; the subset's `indices` are positions into it.
        positions: (k,) which ones.

    Example:
        >>> import numpy as np
        >>> pool = Pool.from_arrays(np.full((3, 8, 8), 255, np.uint8), [0, 1, 1])
        >>> pixels, label = torch_subset(pool, [2])[0]
        >>> tuple(pixels.shape), float(pixels.max()), label
        ((1, 8, 8), 1.0, 1)
    """
    import torch.utils.data

    class Images(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(pool)

        def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
            pixels = torch.from_numpy(pool.images([position])[0]).permute(2, 0, 1).float() / 255
            return pixels, int(pool.labels[position])

    return torch.utils.data.Subset(Images(), check_positions(positions, n=len(pool)).tolist())


def _chosen(pool: Pool, positions: ArrayLike) -> Positions:
    rows = check_positions(positions, n=len(pool))
    nameless = rows[pool.labels[rows] < 0]
    if len(nameless):
        raise InputError(f"image {str(pool.ids[nameless[0]])!r} has no class label and cannot be put under a class.")
    return rows


def _suffix(encoded: bytes | Path | None) -> str:
    if isinstance(encoded, Path):
        return encoded.suffix
    if encoded is None:
        return ".png"
    with Image.open(io.BytesIO(encoded)) as image:
        kind = (image.format or "img").lower()
    return ".jpg" if kind == "jpeg" else f".{kind}"


def _encoded(pool: Pool, row: int) -> bytes:
    encoded = original(pool.source, row)
    if isinstance(encoded, Path):
        return encoded.read_bytes()
    if encoded is not None:
        return encoded
    buffer = io.BytesIO()
    pool.source.open(row).save(buffer, format="PNG")
    return buffer.getvalue()


def _safe(name: str) -> str:
    """A name that is one plain file name on every system."""
    return _UNSAFE.sub("_", name).strip(" .")[:120] or "_"


def _safe_names(classes: tuple[str, ...]) -> list[str]:
    """One folder name per class, all different."""
    names: list[str] = []
    for j, name in enumerate(classes):
        safe = _safe(name)
        names.append(safe if safe.lower() not in {other.lower() for other in names} else f"{safe}-{j}")
    return names
