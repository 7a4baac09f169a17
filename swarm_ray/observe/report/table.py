"""A table of the report, and how its cells are written."""

from __future__ import annotations

from dataclasses import dataclass

NOTHING = "\N{EN DASH}"
ARROW = " \N{RIGHTWARDS ARROW} "
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Table:
    """Rows of text under heads."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: frozenset[int] = frozenset({0})
    """Columns that hold words and are set flush left; numbers are set flush right."""
    note: str = ""


def change(start: float | None, end: float | None) -> str:
    """Two shares, before and after; a dash for one that is not known."""
    return ARROW.join(NOTHING if value is None else f"{value:.3f}" for value in (start, end))


def times(ratio: float | None) -> str:
    """A ratio, or a dash."""
    return NOTHING if ratio is None else f"{ratio:.2f} {TIMES}"


def size(count: int) -> str:
    """Bytes as people say them."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"
