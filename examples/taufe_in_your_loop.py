"""TAUFE in a training loop of one's own: three lines, and features that photographs excite are gone from a digit model.

python examples/taufe_in_your_loop.py
"""

import itertools

import numpy as np
import torch
from sklearn.datasets import load_digits, load_sample_images
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from goodgrain.losses import taufe
from goodgrain.models import Penultimate, small

torch.set_num_threads(1)  # for so small a network, more threads only wait for each other


def digits() -> tuple[Tensor, Tensor]:
    """Handwritten digits (1797, 1, 8, 8) in [0, 1], and their labels."""
    found = load_digits()
    return torch.from_numpy(found.images / 16).float()[:, None], torch.from_numpy(found.target)


def photographs(count: int, seed: int) -> Tensor:
    """Patches (count, 1, 8, 8) in [0, 1] of two photographs: images of no digit."""
    rng = np.random.default_rng(seed)
    grey = [photo.mean(axis=2) / 255 for photo in load_sample_images().images]
    corners = rng.integers(0, 390, (count, 2))
    patches = [grey[i % 2][top : top + 32 : 4, left : left + 32 : 4] for i, (top, left) in enumerate(corners)]
    return torch.from_numpy(np.stack(patches)).float()[:, None]


images, labels = digits()
train, test = slice(0, 200), slice(200, None)  # few labelled images: a network learns whatever helps, background too
ood_images, ood_test = photographs(200, seed=0), photographs(1000, seed=1)


def trained(weight: float, epochs: int = 15) -> nn.Module:
    """A loop as anyone has it, and three lines."""
    torch.manual_seed(0)
    parts = small(classes=10, channels=1)
    model = nn.Sequential(parts.features, parts.head)  # any network that ends in a linear layer
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(images[train], labels[train]), batch_size=32, shuffle=True)
    own_stream = torch.Generator().manual_seed(1)
    ood_loader = DataLoader(ood_images, batch_size=32, shuffle=True, drop_last=True, generator=own_stream)

    penultimate = Penultimate(model, statistics="running")  # 1: what matters here is what evaluation sees
    ood_batches = itertools.chain.from_iterable(itertools.repeat(ood_loader))  # 2
    for _ in range(epochs):
        for batch, answers in loader:
            loss = cross_entropy(model(batch), answers)
            loss = loss + weight * taufe(penultimate(next(ood_batches)))  # 3
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


for weight in (0.0, 0.1):
    model = trained(weight)
    with torch.no_grad():
        logits, own = Penultimate(model).with_output(images[test])
        strange = Penultimate(model)(ood_test)
    accuracy = (logits.argmax(dim=1) == labels[test]).float().mean()
    lengths = [features.square().sum(dim=1).mean() for features in (own, strange)]
    print(
        f"TAUFE x {weight}: accuracy {accuracy:.3f}; "
        f"squared length of features {lengths[0]:.1f} for digits, {lengths[1]:.1f} for photographs"
    )
