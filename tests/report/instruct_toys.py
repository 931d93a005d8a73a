"""Facts of an instruction selection small enough to check by hand, and texts that try to break a page."""

import numpy as np
from tests.report import test_browser as pages

from goodgrain.report.html import Row
from goodgrain.report.instruct import Answers, Cost, InstructFacts, Other

N, SIZE = 40, 4
NASTY = (
    pages.NASTY,
    "</script><script>document.title='broken'</script>",
    "{{ 7 * 7 }} {% raw %} ${title} <!--",
    "שלום <b>עולם</b> \u202eabc",
    "",
    "\ud800 \x00 \u2028 </td></table>",
    "javascript:alert(1)' onmouseover='alert(1)",
)


def make(**changes):
    """Forty rows in ten clusters of four; of each cluster the first is kept, and the last is left out."""
    positions = np.arange(N)
    known = {
        "name": "toys.json",
        "method": "FP-Instruction",
        "teacher": "a model at http://localhost",
        "command": "goodgrain instruct select toys.json",
        "settings": [("instruct.seed", "0")],
        "kept": positions % SIZE == 0,
        "rows": [
            Row(
                i % SIZE == 0,
                i // SIZE,
                (i % SIZE + 1) % SIZE,
                f"Request {i}?",
                f"Response {i}.",
                f"why {i}",
                f"id-{i}",
            )
            for i in range(N)
        ],
        "words": {group: [f"words on {group}"] for group in range(N // SIZE)},
        "sizes": np.full(N // SIZE, SIZE),
        "answers": Answers({"ranked": 9, "medoid": 1}, 3, 1, 2, np.array([6, 2, 1, 0]), np.full(4, 2.25)),
        "cost": Cost(13, 1200, 34, 0.25, 0.002, 5.0),
        "lengths": np.stack([positions + 10, positions * 2], axis=1),
        "points": np.stack([positions, positions % 7], axis=1).astype(float)[::2],
        "point_rows": positions[::2],
        "point_texts": [f"Request {i}?" for i in positions[::2]],
        "exact_copies": 1,
        "near_copies": 2,
        "copies": [("two  words", "two words", 1.0), ("two words", "three words now", 0.96)],
        "hallucinated": (0.25, 0.1),
        "ours": Other("FP-Instruction", 10, 10, 0.1, 0.5),
        "others": [Other("random", 10, 3, 0.3, 0.75), Other("a list", 8, 2)],
        "problems": [(7, "the response is empty")],
    }
    return InstructFacts(**(known | changes))
