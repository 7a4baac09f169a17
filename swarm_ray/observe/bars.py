"""Numbers as bars of letters."""

from __future__ import annotations

import math
from collections.abc import Sequence

SPARKS = "▁▂▃▄▅▆▇█"
BAR = ("█", "░")
ASCII_BAR = ("#", ".")


def sparkline(values: Sequence[float], width: int, highest: float) -> str:
    """Means of `width` equal parts of `values` as bars, against `highest`."""
    if not values or not 0 < highest < math.inf:
        return ""
    values = [value if math.isfinite(value) else 0.0 for value in values]
    size = max(1, -(-len(values) // width))
    means = [sum(part) / len(part) for i in range(0, len(values), size) if (part := values[i : i + size])]
    return "".join(SPARKS[min(7, max(0, round(7 * m / highest)))] for m in means)


def bar(done: float, width: int, *, plain: bool) -> str:
    """A share of one as a bar; plain for a console that has ASCII alone."""
    full, empty = ASCII_BAR if plain else BAR
    filled = int(done * width)
    return full * filled + empty * (width - filled)
