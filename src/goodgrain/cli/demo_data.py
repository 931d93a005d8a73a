"""Messy data that every machine has: digits wrongly labelled, given away by photographs, or of no class at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from goodgrain.data.pool import Pool

NOISE = 0.4


def noisy_digits(seed: int) -> tuple[Pool, Pool]:
    """1,437 training digits with asymmetric label noise, and 360 clean test digits.

    Args:
        seed: draws the split and the noise.

    Returns:
        Training pool (clean labels known, for reporting) and test pool.

    Example:
        >>> train, test = noisy_digits(0)
        >>> len(train), len(test), round(float((train.labels != train.clean_labels).mean()), 2)
        (1437, 360, 0.4)
    """
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    from goodgrain.data.noise import asymmetric
    from goodgrain.data.pool import Pool

    images, labels = load_digits(return_X_y=True)
    pixels = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    numbers = np.arange(len(labels))
    kept, held = train_test_split(numbers, test_size=360, stratify=labels, random_state=seed)
    classes = [f"digit {j}" for j in range(10)]
    noisy = asymmetric(labels[kept], NOISE, classes=10, seed=seed)
    train = Pool.from_arrays(
        pixels[kept], noisy, classes=classes, ids=[f"digit-{i:04}" for i in kept], clean_labels=labels[kept]
    )
    test = Pool.from_arrays(pixels[held], labels[held], classes=classes, ids=[f"digit-{i:04}" for i in held])
    return train, test


def digits_of_four_classes(share: float, *, seed: int) -> tuple[Pool, NDArray[np.float64], Pool, NDArray[np.float64]]:
    """Digits of which four, drawn with the seed, are classes and the other six are none.

    Args:
        share: of the pool that is of no class.
        seed: draws classes, pool and test images.

    Returns:
        The pool, whose labels are the truth, and (n, 64) its pixels as embeddings; test images of the four classes, and
        theirs.
    """
    import numpy as np
    from sklearn.datasets import load_digits

    from goodgrain.data.open_set import split_dataset
    from goodgrain.data.pool import Pool

    values, labels = load_digits(return_X_y=True)
    pixels = np.rint(values.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    order = np.random.default_rng(seed).permutation(len(labels))
    kept, held = order[:_POOL], order[_POOL:]
    names = [f"digit {j}" for j in range(10)]
    whole = Pool.from_arrays(pixels[kept], labels[kept], classes=names, ids=[f"digit-{i:04}" for i in kept])
    mixed = split_dataset(whole, 4, ood_share=share, seed=seed)
    held = held[[names[label] in mixed.pool.classes for label in labels[held]]]
    test = Pool.from_arrays(pixels[held], labels[held], classes=names, ids=[f"digit-{i:04}" for i in held])
    return mixed.pool, values[kept][mixed.positions], test, values[held]


_POOL = 1200


def digits_on_photographs(count: int, share: float, *, seed: int) -> tuple[Pool, Pool, Pool]:
    """Digits over pieces of two photographs, of which there are ten kinds by colour and contrast.

    Args:
        count: training digits, and half as many OOD pieces again.
        share: of the training digits that lie on a piece of their own kind; the others, and all test digits, on any.
        seed: draws digits and pieces.

    Returns:
        Training pool, pool of pieces without a digit, test pool; no piece is in two of them.

    Example:
        >>> train, ood, test = digits_on_photographs(60, 0.9, seed=0)
        >>> len(train), len(ood), len(test), train.image_shape
        (60, 90, 1737, (16, 16, 3))
    """
    import numpy as np
    from sklearn.datasets import load_digits

    from goodgrain.data.pool import Pool

    rng = np.random.default_rng(seed)
    pieces, kinds = _pieces(rng)
    part = rng.integers(0, 3, len(pieces))
    images, labels = load_digits(return_X_y=True)
    cover = _INK * np.kron(images.reshape(-1, 8, 8) / 16, np.ones((2, 2)))[..., None]  # (n, 16, 16, 1)
    order = rng.permutation(len(labels))
    classes = [f"digit {j}" for j in range(10)]

    def pool(digits: NDArray[np.int64], wanted: NDArray[np.int64], own: int) -> Pool:
        by_kind = [np.flatnonzero((part == own) & (kinds == kind)) for kind in range(10)]
        behind = pieces[[rng.choice(by_kind[kind]) for kind in wanted]]
        blended = cover[digits] * 255 + (1 - cover[digits]) * behind
        ids = [f"digit-{i:04}" for i in digits]
        return Pool.from_arrays(blended.round().astype(np.uint8), labels[digits], classes=classes, ids=ids)

    few, rest = order[:count], order[count:]
    given_away = rng.random(count) < share
    train = pool(few, np.where(given_away, labels[few], rng.integers(0, 10, count)), 0)
    test = pool(rest, rng.integers(0, 10, len(rest)), 1)
    alone = rng.permutation(np.flatnonzero(part == 2))[: count + count // 2]
    ids = [f"piece-{i:04}" for i in alone]
    return train, Pool.from_arrays(pieces[alone].round().astype(np.uint8), np.zeros(len(alone), int), ids=ids), test


_INK = 0.75  # how much of a pixel is the digit's where the digit is
_PIECES = 3000  # of each photograph


def _pieces(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(n, 16, 16, 3) pieces of both photographs at half their size, and which of ten kinds each is of."""
    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.datasets import load_sample_images

    found = []
    for photo in load_sample_images().images:
        height, width = photo.shape[0] // 2, photo.shape[1] // 2
        small = photo[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
        tops, lefts = rng.integers(0, height - 16, _PIECES), rng.integers(0, width - 16, _PIECES)
        found += [small[top : top + 16, left : left + 16] for top, left in zip(tops, lefts, strict=True)]
    pieces = np.array(found)
    described = np.concatenate([pieces.mean(axis=(1, 2)), 2 * pieces.std(axis=(1, 2))], axis=1)
    kinds = KMeans(10, n_init=4, random_state=0).fit_predict(described)
    return pieces, kinds.astype(np.int64)
