"""Curves of accuracy over rounds, with a band of one standard deviation, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from goodgrain.report.plots import PALETTE

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 340, 260, 40, 26, 8, 30
DASHES = ("", "6 3", "2 3")


def draw(path: Path, panels: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Panels side by side, one line per row, a legend below.

    Args:
        path: the SVG.
        panels: heading -> row -> (seeds, rounds) accuracies in [0, 1].
    """
    rows = list(dict.fromkeys(row for panel in panels.values() for row in panel))
    style = {row: (PALETTE[i % len(PALETTE)], DASHES[i // len(PALETTE)]) for i, row in enumerate(rows)}
    parts = [_panel(i * WIDTH, heading, panel, style) for i, (heading, panel) in enumerate(panels.items())]
    legend, width = _legend(rows, style, WIDTH * len(panels))
    height = HEIGHT + legend[1]
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}{legend[0]}</svg>\n',
        encoding="utf-8",
    )


def _panel(x0: float, heading: str, panel: Mapping[str, np.ndarray], style: Mapping[str, tuple[str, str]]) -> str:
    values = 100 * np.concatenate([runs.mean(axis=0) for runs in panel.values()])
    low, high = np.floor(values.min() / 5) * 5, np.ceil(values.max() / 5) * 5
    rounds = max(runs.shape[1] for runs in panel.values()) - 1

    def place(number: float, value: float) -> str:
        x = x0 + LEFT + (WIDTH - LEFT - RIGHT) * number / rounds
        return f"{x:.1f},{TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (high - low)):.1f}"

    out = [f'<text x="{x0 + LEFT}" y="16" font-weight="bold">{escape(heading)}</text>']
    for tick in np.arange(low, high + 1, 5):
        (left, y), right = place(0, tick).split(","), place(rounds, tick).split(",")[0]
        out.append(f'<path d="M{left} {y}H{right}" stroke="#ddd"/>')
        out.append(f'<text x="{float(left) - 4}" y="{float(y) + 4}" text-anchor="end">{tick:.0f}</text>')
    for number in range(0, rounds + 1, 2):
        x = place(number, low).split(",")[0]
        out.append(f'<text x="{x}" y="{HEIGHT - 12}" text-anchor="middle">{number}</text>')
    for row, runs in panel.items():
        colour, dash = style[row]
        mean = 100 * runs.mean(axis=0)
        spread = 100 * runs.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros_like(mean)
        upper = [place(i, min(high, v)) for i, v in enumerate(mean + spread)]
        lower = [place(i, max(low, v)) for i, v in enumerate(mean - spread)]
        out.append(f'<polygon points="{" ".join(upper + lower[::-1])}" fill="{colour}" opacity="0.08"/>')
        points = " ".join(place(i, value) for i, value in enumerate(mean))
        out.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}">'
            f"<title>{escape(row)}</title></polyline>"
        )
    return "".join(out)


def _legend(rows: Sequence[str], style: Mapping[str, tuple[str, str]], width: int) -> tuple[tuple[str, int], int]:
    out, x, y = [], 10, HEIGHT + 6
    for row in rows:
        needed = 44 + 7 * len(row)
        if x + needed > width:
            x, y = 10, y + 18
        colour, dash = style[row]
        out.append(f'<path d="M{x} {y}h24" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>')
        out.append(f'<text x="{x + 30}" y="{y + 4}">{escape(row)}</text>')
        x += needed
    return ("".join(out), y - HEIGHT + 16), width
