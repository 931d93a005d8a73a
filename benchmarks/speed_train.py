"""Images per second of SOP+ in the house's loop, against a bare PyTorch loop that does the same arithmetic.

    python benchmarks/speed_train.py [--images 2560] [--repeats 5] [--network small] [--device cpu]

The bare loop shuffles, gathers, augments, computes SOP+'s loss, and steps network, u and v; it keeps no history, no
checkpoint, no check for NaN, and no log. Both sides train one epoch in turn; the ratio of the medians counts.
"""

import argparse

import numpy as np
import torch
from timing import in_turn
from torch.nn import functional

from goodgrain.data.pool import Pool
from goodgrain.data.views import Normalize, strong, weak
from goodgrain.learn import SOP, fit
from goodgrain.models import load_network

BATCH, CLASSES, SIZE = 128, 10, (32, 32)


def bare(pixels, labels, network, device, seed):
    """One epoch of SOP+, as one would write it down for a single experiment."""
    n = len(pixels)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(n))
    normalize = Normalize(torch.full((3,), 0.5), torch.full((3,), 0.25)).to(device)
    weak_view, strong_view = weak(SIZE), strong(SIZE)
    u = torch.randn(n, 1, device=device).mul_(1e-8)
    v = torch.randn(n, CLASSES, device=device).mul_(1e-8)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    network.train()
    for step, rows in enumerate(order.split(BATCH)):
        images = pixels[rows].to(device).permute(0, 3, 1, 2).contiguous().float().div_(255)
        y = labels[rows].to(device)
        rows = rows.to(device)
        views = torch.cat([weak_view(images, 2 * step), strong_view(images, 2 * step + 1)])
        logits, strong_logits = network(normalize(views))[0].chunk(2)
        u_rows, v_rows = u[rows].requires_grad_(), v[rows].requires_grad_()
        given = functional.one_hot(y, CLASSES).float()
        added, taken = (u_rows**2 * given).clamp(0, 1), (v_rows**2 * (1 - given)).clamp(0, 1)
        adjusted = (logits.softmax(1) + added - taken.detach()).clamp(min=1e-4)
        adjusted = adjusted / adjusted.sum(1, keepdim=True)
        hard = functional.one_hot(logits.argmax(1), CLASSES).float()
        loss = -adjusted.clamp(min=1e-4).log().gather(1, y[:, None]).mean()
        loss = loss + (hard + added - taken - given).square().sum() / len(y)
        loss = loss - 0.1 * adjusted.mean(0).clamp(1e-4, 1).log().mean()
        target = logits.detach().log_softmax(1)
        loss = loss + 0.9 * functional.kl_div(
            strong_logits.log_softmax(1), target, reduction="batchmean", log_target=True
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        u.index_add_(0, rows, u_rows.grad, alpha=-10.0)
        v.index_add_(0, rows, v_rows.grad, alpha=-100.0)


def main():
    """One line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2560)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--network", default="small")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (asked.images, *SIZE, 3), dtype=np.uint8)
    labels = np.arange(asked.images) % CLASSES
    pool = Pool.from_arrays(images, labels)
    device = torch.device(asked.device)
    network = load_network(asked.network, classes=CLASSES, channels=3, seed=0).to(device)
    pixels, y = torch.from_numpy(images), torch.from_numpy(labels)
    seconds = in_turn(
        asked.repeats,
        house=lambda: fit(SOP(asked.network, batch_size=BATCH), pool, epochs=1, seed=0, device=asked.device),
        bare=lambda: bare(pixels, y, network, device, 0),
    )
    house, plain = seconds["house"], seconds["bare"]
    print(
        f"SOP+, {asked.network}, {asked.device}, {torch.get_num_threads()} threads, {asked.images:,} images: "
        f"house {asked.images / house:,.0f} images/s, bare {asked.images / plain:,.0f} images/s, "
        f"ratio {plain / house:.2f} (at least 0.90 is wanted)"
    )


if __name__ == "__main__":
    main()
