"""Small pictures of noise, in memory, as bytes, and as files in class folders."""

import io

import numpy as np
from PIL import Image


def picture(seed, size=(12, 10), mode="RGB"):
    """Noise of (height, width) pixels, mode RGB or L."""
    shape = (*size, 3) if mode == "RGB" else size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def pixels(seed, **look):
    return np.asarray(picture(seed, **look)).reshape(*look.get("size", (12, 10)), -1)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def class_folders(root, classes=("cat", "dog"), each=4):
    """Files <class>/<i>.png, that of class j holding picture(10 * j + i)."""
    for j, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(each):
            picture(10 * j + i).save(root / name / f"{i}.png")
    return root
