"""Numbers and grids as text."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

from rich.box import SIMPLE_HEAD, Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 100
"""Columns of a table that nobody asked otherwise for."""
NOTHING = "-"
LONGEST = 400
"""Letters of a remark."""
_ASCII_HEAD = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
_LEAST_NAME = 16
_TEXTS = ("state", "created", "animal", "experiment", "role", "reach")
_DURATIONS = (
    ("s", 1.0, 120.0),
    ("min", 60.0, 7200.0),
    ("h", 3600.0, 172_800.0),
    ("d", 86_400.0, float("inf")),
)
_BYTES = (("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12))
_SCALES = (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9))

Row = TypeVar("Row")
Columns = dict[str, Callable[[Row], str]]
"""The columns of a table by their heads, with what a row shows in each."""


def rows_of(columns: Columns[Row], items: Iterable[Row]) -> tuple[tuple[str, ...], ...]:
    """The cells of a table, in the order of its columns."""
    return tuple(tuple(cell(item) for cell in columns.values()) for item in items)


def grid(heads: Sequence[str], rows: Sequence[Sequence[str]], *, width: int, styled: bool) -> str:
    """Rows under heads; the names in the first column are folded to fit, numbers are never cut.

    Args:
        heads: of the columns, the first of them names, the others numbers unless they are known as texts.
        rows: cells, in the order of the heads; they may be what others wrote.
        width: columns of the text; it becomes wider where the numbers need it.
        styled: for a terminal.
    """
    table = Table(box=SIMPLE_HEAD if styled else _ASCII_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for number, head in enumerate(heads):
        left = number == 0 or head in _TEXTS
        table.add_column(head, justify="left" if left else "right", no_wrap=number > 0, overflow="fold")
    for row in rows:
        table.add_row(*[Text(clean(cell)) for cell in row])
    cells = [[head, *[clean(row[i]) for row in rows]] for i, head in enumerate(heads)]
    widths = [max(map(len, column)) for column in cells]
    least = sum(widths[1:]) + min(widths[0], _LEAST_NAME) + 2 * len(widths)
    out = io.StringIO()
    console = Console(
        file=out,
        force_jupyter=False,  # a notebook would show the table at once and leave the text empty
        width=max(width, least),
        force_terminal=styled,
        color_system="standard" if styled else None,
        legacy_windows=False,
    )
    console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def clean(text: str) -> str:
    """Text that others may have written, on one line and without anything that would steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def shortened(text: str) -> str:
    """Text that others may have written, cut where it is longer than anybody reads."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def count(number: int | None) -> str:
    """A number as it is."""
    return NOTHING if number is None else str(number)


def share(value: float | None) -> str:
    """A mean reward or a share, to three places."""
    return NOTHING if value is None else f"{value:.3f}"


def reward_sum(value: float) -> str:
    """A sum of rewards, to four digits or so."""
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def change(start: float | None, end: float | None) -> str:
    """Two means, before and after."""
    return f"{share(start)} -> {share(end)}"


def large(number: int) -> str:
    """A count in at most four digits and a letter: 9999, 123k, 4567M."""
    fitting = (
        scale
        for scale, (_, larger) in pairwise(_SCALES)
        if round(number / scale[1]) < 10_000 and number < 10 * larger
    )
    unit, size = next(fitting, _SCALES[-1])
    return f"{number / size:.0f}{unit}"


def duration(seconds: float) -> str:
    """A duration as people say it: 0.4 s, 95 s, 12 min, 3.2 h, 4.0 d."""
    unit, size, _ = next(scale for scale in _DURATIONS if seconds < scale[2])
    value = seconds / size
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def byte_count(number: int) -> str:
    """Bytes for people: 0 B, 12.3 kB, 456 MB."""
    unit, size = next((scale for scale in _BYTES if number / scale[1] < 999.5), _BYTES[-1])
    value = number / size
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"
