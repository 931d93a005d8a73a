"""Adversarial images: the worst that a small change of the pixels can do to a network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from goodgrain.data.pool import Pool
from goodgrain.data.views import to_pixels
from goodgrain.errors import InputError
from goodgrain.learn.streams import stream_seed
from goodgrain.metrics import accuracy

RADIUS, STEP = 8 / 255, 2 / 255


def pgd(
    logits: Callable[[Tensor], Tensor],
    pixels: Tensor,
    labels: Tensor,
    *,
    steps: int,
    radius: float = RADIUS,
    step: float = STEP,
    seed: int,
) -> Tensor:
    """Projected gradient ascent on the cross-entropy (PGD; Madry et al. 2018): signs of gradients, from a random start.

    Args:
        logits: pixels (b, c, h, w) in [0, 1] -> (b, classes), with a gradient to the pixels.
        pixels: (b, c, h, w) in [0, 1].
        labels: (b,) the true classes.
        steps: how many.
        radius: the largest change of a pixel.
        step: the change of a pixel in one step.
        seed: of the random start.

    Returns:
        (b, c, h, w) in [0, 1], each pixel within `radius` of the given one.

    Raises:
        InputError: radius or step below 0, or steps below 0.

    Example:
        >>> head = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> pixels = torch.full((1, 1, 2, 2), 0.5)
        >>> float((pgd(head, pixels, torch.tensor([0]), steps=7, seed=0) - pixels).abs().max()) <= RADIUS + 1e-6
        True
    """
    if steps < 0 or radius < 0 or step < 0:
        raise InputError(f"steps, radius and step should be 0 or more; {steps=}, {radius=}, {step=} came.")
    noise = torch.rand(pixels.shape, generator=torch.Generator().manual_seed(seed % 2**63)).to(pixels.device)
    low, high = (pixels - radius).clamp(min=0), (pixels + radius).clamp(max=1)
    moved = torch.minimum(torch.maximum(pixels + radius * (2 * noise - 1), low), high)
    for _ in range(steps):
        moved.requires_grad_()
        loss = functional.cross_entropy(logits(moved), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, moved)
        moved = torch.minimum(torch.maximum(moved.detach() + step * gradient.sign(), low), high)
    return moved.detach()


def adversarial_accuracy(
    network: Callable[[Tensor], Tensor],
    pool: Pool,
    *,
    steps: int = 100,
    radius: float = RADIUS,
    step: float = STEP,
    seed: int = 0,
    device: torch.device | str = "cpu",
    batch_size: int = 250,
) -> float:
    """The share of a pool's labelled images whose class is still predicted after an attack (table 3.6: PGD-100).

    Args:
        network: pixels (b, c, h, w) in [0, 1] -> logits (b, classes), in evaluation mode.
        pool: labelled images.
        steps: of the attack.
        radius: the largest change of a pixel.
        step: the change of a pixel in one step.
        seed: of the random starts.
        device: where the network is.
        batch_size: images at a time.

    Returns:
        A share from 0 to 1.

    Raises:
        InputError: no image has a label.
    """
    positions = np.flatnonzero(pool.labels >= 0)
    if not len(positions):
        raise InputError("adversarial accuracy needs labelled images, and the pool has none.")
    predicted = []
    for part in np.array_split(positions, -(-len(positions) // batch_size)):
        pixels = to_pixels(pool.images(part), device)
        labels = torch.from_numpy(pool.labels[part]).to(device)
        first = stream_seed(seed, "attack", int(part[0]))
        moved = pgd(network, pixels, labels, steps=steps, radius=radius, step=step, seed=first)
        with torch.no_grad():
            predicted.append(network(moved).argmax(dim=1).cpu().numpy())
    return accuracy(np.concatenate(predicted), pool.labels[positions])


def logits_of(learner: object) -> Callable[[Tensor], Tensor]:
    """A trained learner's network in evaluation mode, pixels in [0, 1] -> logits, as an attack sees it.

    Args:
        learner: has a `network` (`goodgrain.models.Split`) and its `normalize`.

    Raises:
        InputError: it has none.
    """
    network, normalize = getattr(learner, "network", None), getattr(learner, "normalize", None)
    if not isinstance(network, nn.Module) or not isinstance(normalize, nn.Module):
        raise InputError(f"an attack needs a learner with one network; {type(learner).__name__} has none.")
    network.eval()

    def logits(pixels: Tensor) -> Tensor:
        seen: Tensor = network(normalize(pixels))[0]
        return seen

    return logits
