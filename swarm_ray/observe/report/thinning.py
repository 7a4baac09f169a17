"""Fewer points for a line that looks the same: of each stretch the lowest and the highest value."""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, float | None]
STRETCHES = 240
"""A figure of the report is a few hundred units wide, so that more cannot be told apart."""


def thin(points: Sequence[Point], stretches: int = STRETCHES) -> list[Point]:
    """Keep the first, the last, the lowest and the highest point of each stretch, in their order.

    Args:
        points: x and y, with x rising; y is None in a gap, and the gap is kept.
        stretches: into so many parts of equal count the points are cut; short lines stay as they are.
    """
    if len(points) <= 4 * stretches:
        return list(points)
    kept: list[Point] = []
    for number in range(stretches):
        first, last = (len(points) * k // stretches for k in (number, number + 1))
        part = [(i, y) for i, (_, y) in enumerate(points[first:last]) if y is not None]
        places = {0, last - first - 1}
        if part:
            places |= {min(part, key=lambda p: p[1])[0], max(part, key=lambda p: p[1])[0]}
        gaps = [i for i, (_, y) in enumerate(points[first:last]) if y is None]
        places |= set(gaps[:1])
        kept += [points[first + place] for place in sorted(places)]
    return kept


def thin_evenly(count: int, most: int = 2 * STRETCHES) -> list[int]:
    """Places of at most `most` of `count` points, evenly spread, the first and the last among them.

    For lines that are smooth already, and for bands, whose two edges must keep the same places.
    """
    if count <= most:
        return list(range(count))
    return sorted({round(k * (count - 1) / (most - 1)) for k in range(most)})
