"""Losses that learn from which views belong together, without labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def nt_xent(first: Tensor, second: Tensor, *, temperature: float = 0.5) -> Tensor:
    """How hard it is to tell each row's partner from all other rows, by their cosines (Chen et al. 2020, Eq. 1).

    For each of the 2b rows z_i with partner z_j: -log of exp(cos(z_i, z_j) / t) over the sum of exp(cos(z_i, z_k) / t)
    for all k but i. A row is no negative of itself: its own cosine is -inf before the log-sum-exp, which also keeps
    small temperatures from overflowing.

    Args:
        first: (b, d) one view of each image; any length but zero, only directions count.
        second: (b, d) the other view of the same images, in the same order.
        temperature: t, above 0; the smaller, the more the nearest negatives count.

    Returns:
        (), the mean over the 2b rows: 0 for one pair, log(2b - 1) where all rows are equal.

    Example:
        >>> views = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> round(float(nt_xent(views, views, temperature=1.0)), 4)
        0.5514
    """
    rows = functional.normalize(torch.cat([first, second]), dim=1)  # (2b, d)
    alike = rows @ rows.T / temperature  # (2b, 2b)
    alike = alike.masked_fill(torch.eye(len(rows), dtype=torch.bool, device=rows.device), -torch.inf)
    partners = torch.arange(len(rows), device=rows.device).roll(len(first))
    return functional.cross_entropy(alike, partners)
