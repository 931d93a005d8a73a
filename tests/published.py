"""Miniature files as CIFAR's authors published theirs."""

import struct

import numpy as np


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
