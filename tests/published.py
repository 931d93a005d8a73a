"""Miniature files as the authors of datasets published theirs."""

import struct

import numpy as np
from scipy.io import savemat

from pictures import picture


def cifar_pixels(n, seed=0):
    """(n, 32, 32, 3) images of noise."""
    return np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


def planes(images):
    """(n, 3072): all red values row by row, then the green, then the blue."""
    return images.transpose(0, 3, 1, 2).reshape(len(images), 3072)


def python2_pickle(value):
    """Protocol 2 as Python 2 wrote it: plain strings are bytes, and arrays come by _reconstruct."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value):
    if isinstance(value, str):
        return b"U" + bytes([len(value)]) + value.encode("latin1")
    if isinstance(value, bytes):
        return b"T" + struct.pack("<i", len(value)) + value
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_python2(part) for item in value.items() for part in item) + b"u"
    assert value.dtype == np.uint8
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    kind = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"(" + b"".join(map(_python2, value.shape)) + b"t"
    return made + b"(K\x01" + shape + kind + b"\x89" + _python2(value.tobytes()) + b"tb"


def cifar10_python(folder, each=4, write=python2_pickle, names=("cat", "dog")):
    """cifar-10-batches-py with `each` images per batch; image i of all training ones is cifar_pixels(...)[i]."""
    folder.mkdir()
    images, labels = cifar_pixels(6 * each), (np.arange(6 * each) % len(names)).tolist()
    for i, name in enumerate([*(f"data_batch_{j}" for j in range(1, 6)), "test_batch"]):
        rows = slice(i * each, (i + 1) * each)
        batch = {
            "batch_label": name,
            "labels": labels[rows],
            "data": planes(images[rows]),
            "filenames": ["a.png"] * each,
        }
        (folder / name).write_bytes(write(batch))
    (folder / "batches.meta").write_bytes(write({"label_names": list(names), "num_vis": 3072}))
    return folder


def svhn(folder, each=4):
    """Digits 1, 2, ..., 9, 10 (a zero), 1, ...: those of all three files are cifar_pixels(3 * each), in this order."""
    folder.mkdir(exist_ok=True)
    images, labels = cifar_pixels(3 * each), np.arange(3 * each) % 10 + 1
    for i, split in enumerate(("train", "test", "extra")):
        rows = slice(i * each, (i + 1) * each)
        digits = {"X": images[rows].transpose(1, 2, 3, 0), "y": labels[rows, None].astype(np.uint8)}
        savemat(folder / f"{split}_32x32.mat", digits, do_compression=True)
    return folder


CUB_CLASSES = ("001.Black_footed_Albatross", "002.Laysan_Albatross")


def cub200(folder, boxes=((2.0, 3.0, 6.0, 6.0), (0.0, 0.0, 10.0, 12.0), (1.0, 2.0, 3.0, 4.0), (4.0, 5.0, 6.0, 7.0))):
    """One image per box, x, y, width and height; image i is picture(i), 10 wide and 12 high, odd ones for testing."""
    folder.mkdir(exist_ok=True)
    files = [f"{CUB_CLASSES[i // 2 % 2]}/Bird_{i:04}.jpg" for i in range(len(boxes))]
    for i, file in enumerate(files):
        (folder / "images" / file).parent.mkdir(parents=True, exist_ok=True)
        picture(i).save(folder / "images" / file, format="PNG")
    lists = {
        "images": files,
        "image_class_labels": [i // 2 % 2 + 1 for i in range(len(boxes))],
        "train_test_split": [1 - i % 2 for i in range(len(boxes))],
        "bounding_boxes": [" ".join(map(str, box)) for box in boxes],
        "classes": CUB_CLASSES,
    }
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("".join(f"{i} {line}\n" for i, line in enumerate(lines, start=1)))
    return folder


CARS = ("AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Volvo 240 Sedan 1993")


def car_records(corners, classes, files):
    """The struct array `annotations`; corners are pixels counted from 1."""
    fields = [*((f"bbox_{name}", object) for name in ("x1", "y1", "x2", "y2")), ("class", object), ("fname", object)]
    records = np.empty((1, len(files)), dtype=fields)
    for i, file in enumerate(files):
        records[0, i] = (*(np.uint16(corner) for corner in corners[i]), np.uint8(classes[i]), file)
    return records


def stanford_cars(folder, each=3):
    """Image i of `train` is picture(i), that of `test` picture(10 + i); 10 wide and 12 high, with its own box."""
    (folder / "devkit").mkdir(parents=True)
    for start, split, place in ((0, "train", "devkit/cars_train_annos"), (10, "test", "cars_test_annos_withlabels")):
        (folder / f"cars_{split}").mkdir()
        files = [f"{i + 1:05}.jpg" for i in range(each)]
        for i, file in enumerate(files):
            picture(start + i).save(folder / f"cars_{split}" / file, format="PNG")
        corners = [(1 + i, 2 + i, 10, 12) for i in range(each)]
        records = car_records(corners, [(i + 2) % 3 + 1 for i in range(each)], files)
        savemat(folder / f"{place}.mat", {"annotations": records})
    names = np.array(CARS, dtype=object)[None]
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": names})
    return folder
