"""Boxes, slowly: exact fractions, cells that are counted, and floods that are followed by hand."""

from fractions import Fraction


def exact(box):
    """The coordinates as the exact fractions that the floats are."""
    return [Fraction(float(value)) for value in box]


def length(first, second):
    return max(Fraction(0), second - first)


def iou(predicted, true):
    """Exact intersection over union; an empty predicted box shares nothing."""
    p, t = exact(predicted), exact(true)
    shared = length(max(p[0], t[0]), min(p[2], t[2])) * length(max(p[1], t[1]), min(p[3], t[3]))
    areas = [length(b[0], b[2]) * length(b[1], b[3]) for b in (p, t)]
    return shared / (sum(areas) - shared)


def counted_iou(predicted, true, size):
    """Cells of a size x size grid that lie in both boxes, by those that lie in either; whole coordinates."""

    def inside(box, x, y):
        return box[0] <= x < box[2] and box[1] <= y < box[3]

    cells = [(inside(predicted, x, y), inside(true, x, y)) for x in range(size) for y in range(size)]
    return sum(a and b for a, b in cells) / sum(a or b for a, b in cells)


def smooth_l1(predicted, true):
    """Exact, over the four coordinates."""
    apart = [abs(p - t) for p, t in zip(exact(predicted), exact(true), strict=True)]
    return sum(d * d / 2 if d < 1 else d - Fraction(1, 2) for d in apart) / 4


def centre_distance(predicted, true):
    """Exact squared distance of the centres by the squared diagonal of the smallest box around all corners."""
    p, t = exact(predicted), exact(true)
    distance = diagonal = Fraction(0)
    for axis in (0, 1):
        corners = [p[axis], p[axis + 2], t[axis], t[axis + 2]]
        distance += ((p[axis] + p[axis + 2]) / 2 - (t[axis] + t[axis + 2]) / 2) ** 2
        diagonal += (max(corners) - min(corners)) ** 2
    return distance / diagonal


def box_loss(name, predicted, true):
    """The mean over boxes of a loss by its name."""
    total = Fraction(0)
    for p, t in zip(predicted, true, strict=True):
        total += smooth_l1(p, t)
        if name != "l1":
            total += Fraction(2, 5) * (1 - iou(p, t))
        if name == "d_iou":
            total += Fraction(2, 5) * centre_distance(p, t)
    return float(total / len(true))


def box_around(cam, share):
    """Flood every bright point; the box around the largest flood, the first from the top where two are as large."""
    height, width = len(cam), len(cam[0])
    top = max(map(max, cam))
    if top <= 0:
        return (0, 0, 1, 1)
    bright = [(r, c) for r in range(height) for c in range(width) if cam[r][c] > share * top]
    floods = []
    left = dict.fromkeys(bright)
    while left:
        wave = flood = [next(iter(left))]
        del left[flood[0]]
        while wave:
            wave = [p for p in left if any(max(abs(p[0] - q[0]), abs(p[1] - q[1])) == 1 for q in wave)]
            flood = flood + wave
            for point in wave:
                del left[point]
        floods.append(flood)
    rows, columns = zip(*max(floods, key=len), strict=True)
    return (min(columns) / width, min(rows) / height, (max(columns) + 1) / width, (max(rows) + 1) / height)
