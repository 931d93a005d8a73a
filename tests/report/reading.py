"""What stands on a report's page, read from its text."""

import json
import re


def headings(page):
    return tuple(re.findall(r"<h2[^>]*>(.*?)</h2>", page))


def titles(page):
    return re.findall(r"<h3>(.*?)</h3>", page)


def gallery(page, title):
    """(line, note) of every tile under a title."""
    part = page.split(f"<h3>{title}</h3>")[1].split("</figure>")[0]
    return list(
        zip(*(re.findall(rf'<span class="{name}"[^>]*>(.*?)</span>', part) for name in ("line", "note")), strict=True)
    )


def table(page, caption):
    part = page.split(caption)[-1].split("</table>")[0]
    header = re.findall(r"<th [^>]*>(.*?)</th>", part)
    found = re.findall(r"<td[^>]*>(.*?)</td>", part)
    return [tuple(header), *(tuple(found[i : i + len(header)]) for i in range(0, len(found), len(header)))]


def figures(page):
    return [json.loads(text) for text in re.findall(r'<script type="application/json">(.*?)</script>', page)]


def texts(value):
    """Every text that a figure shows."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, own in value.items():
            if key != "legendgroup":  # never shown
                yield from texts(own)
    elif isinstance(value, list):
        for own in value:
            yield from texts(own)
