"""What the recipes train on and with: bars of light, noise that is neither, and one network of each kind."""

from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import ViTConfig, ViTForImageClassification

from goodgrain.models import Penultimate, small

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "train_in_your_loop.md"
SIZE, CLASSES = 12, 2


def own_images(n=64):
    """Images (n, 1, 12, 12) that are bright above or below, and their labels."""
    noise = torch.Generator().manual_seed(0)
    images, labels = torch.randn(n, 1, SIZE, SIZE, generator=noise) / 3, torch.arange(n) % CLASSES
    images[labels == 0, :, : SIZE // 2] += 1
    images[labels == 1, :, SIZE // 2 :] += 1
    return images, labels


def ood_images(n=48):
    """Images (n, 1, 12, 12) of stripes of either direction."""
    noise = torch.Generator().manual_seed(1)
    images = torch.randn(n, 1, SIZE, SIZE, generator=noise) / 3
    images[: n // 2, :, :, ::2] += 1
    images[n // 2 :, :, ::2] += 1
    return images


def own_loader():
    """Shuffled by torch's global stream, as in most loops."""
    return DataLoader(TensorDataset(*own_images()), batch_size=16, shuffle=True)


def ood_loader():
    return DataLoader(ood_images(), batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(2))


def resnet():
    parts = small(classes=CLASSES, channels=1)
    return nn.Sequential(parts.features, parts.head)


def mlp():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(SIZE**2, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(),
        nn.Linear(16, CLASSES),
    )  # fmt: skip


def vit():
    shape = {"image_size": SIZE, "patch_size": 4, "num_channels": 1, "num_labels": CLASSES}
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return ViTForImageClassification(ViTConfig(**shape, **size))


def weights_of(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def squared_length(network, statistics="separate"):
    """Mean over OOD images of ||f||^2, under their own statistics or, as in evaluation, under the running ones."""
    network.train()  # what a library left in evaluation mode has no statistics of a batch
    with torch.no_grad():
        return float(Penultimate(network, statistics=statistics)(ood_images()).square().sum(dim=1).mean())


def accuracy(network):
    images, labels = own_images()
    network.eval()
    with torch.no_grad():
        logits = network(images)
    return float((getattr(logits, "logits", logits).argmax(dim=1) == labels).float().mean())


def program(title, weight=0.1):
    """The last program of a chapter of the guide, with any weight, or for None without the lines marked as added."""
    chapter = GUIDE.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = chapter.split("```python\n")[-1].split("```")[0].splitlines()
    added = [line for line in lines if line.endswith("# added")]
    assert len(added) in (0, 3)
    if weight is None:
        lines = [line for line in lines if line not in added]
    return "\n".join(lines).replace("1.0 *", f"{weight} *")
