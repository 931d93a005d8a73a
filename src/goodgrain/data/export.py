"""A selection as others read it: class folders, a Hugging Face dataset, a torch dataset."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike
from PIL import Image

from goodgrain.checks import check_positions
from goodgrain.data.images import blocks, original
from goodgrain.data.pool import OOD, UNLABELED, Pool
from goodgrain.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import Dataset, Subset

_NAME_LENGTH = 50  # characters of up to four bytes each; file systems take 255 bytes
_ROWS = 256  # images at a time in a Parquet file


def copy_tree(pool: Pool, positions: ArrayLike, folder: str | Path, link: bool = False) -> Path:
    """Write images into one folder per class, named after their ids.

    Files and bytes are copied as they are; images that exist as pixels only become PNG files. Ids and class names
    are turned into safe file names, so that nothing is written outside of `folder`. Images without a class go to
    `unlabeled` and `out_of_distribution`.

    Args:
        pool: where the images come from.
        positions: which ones.
        folder: where they go; must not exist or be empty, and appears whole or not at all.
        link: make hard links instead of copies, where image files are on the same file system.

    Returns:
        The folder.

    Raises:
        InputError: the folder holds something, or a position is outside of the pool.
    """
    chosen = check_positions(positions, n=len(pool))
    with _new_folder(Path(folder)) as made:
        folders: dict[int, str] = {}
        names = _Names()
        labels = {**dict(enumerate(pool.classes)), UNLABELED: "unlabeled", OOD: "out_of_distribution"}
        for label, name in labels.items():
            folders[label] = names.unique("", name)
        for position in chosen.tolist():
            label = int(pool.labels[position])
            home = made / folders[label]
            home.mkdir(exist_ok=True)
            data = _encoded(pool, position)
            stem = str(pool.ids[position]).removeprefix(f"{labels[label]}/")
            target = home / names.unique(folders[label], Path(stem).stem if _suffix(stem) else stem, _format(data))
            _place(data, target, link)
    return Path(folder)


def hugging_face(pool: Pool, positions: ArrayLike, folder: str | Path) -> Path:
    """Write a dataset that `datasets.load_dataset(folder)` and our own `read` take: data/train-00000-of-00001.parquet.

    Columns: id, image (bytes as they are, or PNG), label with the names of the classes, and clean_label where known.

    Args:
        pool: where the images come from.
        positions: which ones, in this order.
        folder: where they go; must not exist or be empty, and appears whole or not at all.

    Returns:
        The folder.

    Raises:
        InputError: the folder holds something, no positions, or one outside of the pool.
    """
    chosen = check_positions(positions, n=len(pool))
    if len(chosen) == 0:
        raise InputError("positions is empty: a dataset needs at least one image.")
    labels = {"label": pool.labels} | ({} if pool.clean_labels is None else {"clean_label": pool.clean_labels})
    schema = _schema(pool.classes, list(labels))
    with _new_folder(Path(folder)) as made:
        (made / "data").mkdir()
        file = made / "data" / "train-00000-of-00001.parquet"
        with pq.ParquetWriter(file, schema) as writer:
            for part in blocks(len(chosen), _ROWS):
                rows = chosen[part]
                images = [_image_row(pool, position) for position in rows.tolist()]
                columns: dict[str, Any] = {"id": pool.ids[rows].tolist(), "image": images}
                columns |= {name: values[rows] for name, values in labels.items()}
                writer.write_table(pa.table(columns, schema=schema))
        _sync(file)
    return Path(folder)


def torch_subset(pool: Pool, positions: ArrayLike) -> Subset[tuple[Tensor, int]]:
    """The images as a torch Subset of (image, label): image (c, h, w) float32 in [0, 1], label int.

    Args:
        pool: where the images come from; the whole pool is the Subset's `dataset`.
        positions: which ones, in this order; the Subset's `indices`.

    Raises:
        InputError: a position outside of the pool.
    """
    from torch.utils.data import Subset

    chosen = check_positions(positions, n=len(pool))
    return Subset(cast("Dataset[tuple[Tensor, int]]", PoolDataset(pool)), chosen.tolist())


class PoolDataset:
    """A pool as torch's data loaders want it; it needs torch only when an image is taken out.

    Args:
        pool: the images.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.pool)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        """Image (c, h, w) float32 in [0, 1], and its label."""
        import torch

        pixels = self.pool.images([position])[0].transpose(2, 0, 1)
        return torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32) / 255), int(self.pool.labels[position])


class _Names:
    """File names that are safe, and unique within their folder even where capitals do not count."""

    def __init__(self) -> None:
        self._taken: set[tuple[str, str]] = set()

    def unique(self, folder: str, name: str, suffix: str = "") -> str:
        stem = re.sub(r"[^\w.-]+", "_", name).strip("._")[:_NAME_LENGTH] or "_"
        made, count = f"{stem}{suffix}", 1
        while (folder, made.lower()) in self._taken:
            count += 1
            made = f"{stem}-{count}{suffix}"
        self._taken.add((folder, made.lower()))
        return made


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside the target that takes its name once everything is in it."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} exists and is not an empty folder. Nothing is overwritten: choose another name.")
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        made.chmod(0o755)  # mkdtemp makes folders that only their owner can read
        yield made
        os.replace(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _encoded(pool: Pool, position: int) -> bytes | Path:
    data = original(pool.source, position)
    if data is not None:
        return data
    buffer = io.BytesIO()
    pool.source.open(position).save(buffer, "PNG")
    return buffer.getvalue()


def _format(data: bytes | Path) -> str:
    """The ending of a file name that fits what is in the file."""
    if isinstance(data, Path) and _suffix(data.name):
        return data.suffix.lower()
    with Image.open(data if isinstance(data, Path) else io.BytesIO(data)) as image:
        return {"JPEG": ".jpg", "TIFF": ".tif"}.get(str(image.format), f".{str(image.format).lower()}")


def _suffix(name: str) -> bool:
    return Path(name).suffix.lower() in Image.registered_extensions()


def _place(data: bytes | Path, target: Path, link: bool) -> None:
    if isinstance(data, Path):
        source = data.resolve()
        if link:
            try:
                os.link(source, target)
                return
            except OSError:  # another file system, or one without links: a copy serves as well
                pass
        shutil.copyfile(source, target)
    else:
        target.write_bytes(data)
    _sync(target)


def _image_row(pool: Pool, position: int) -> dict[str, object]:
    data = _encoded(pool, position)
    return {"bytes": data.read_bytes() if isinstance(data, Path) else data, "path": None}


def _schema(classes: tuple[str, ...], labels: list[str]) -> pa.Schema:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features: dict[str, object] = {"id": {"dtype": "string", "_type": "Value"}, "image": {"_type": "Image"}}
    features |= {name: {"names": list(classes), "_type": "ClassLabel"} for name in labels}
    fields = [("id", pa.string()), ("image", image), *((name, pa.int64()) for name in labels)]
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _sync(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
