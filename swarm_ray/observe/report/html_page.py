"""What HTML pages of Swarm Ray share: one template, tables, text of strangers, and who may overwrite a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from drive_store.store.oserrors import errors_of
from swarm_ray.errors import UserError

WRITER = "swarm-ray"
"""Who wrote a file, where its format has a field for that."""
PAGE_MARK = f'<meta name="generator" content="{WRITER} report">'
SWEEP_MARK = f'<meta name="generator" content="{WRITER} sweep">'
"""Another than a report's, since neither is to go over the other."""
JSON_MARK = f'"written_by": "{WRITER}"'
HEAD_BYTES = 4096
"""A mark stands within so many bytes."""
OVERWRITE = "take another name, or give --overwrite to write over it"


def require_renewable(marks: Mapping[Path, str], what: str, remedy: str = OVERWRITE) -> None:
    """Make sure that each of these files is new, empty, or one that Swarm Ray wrote.

    A CSV file has no place for a mark, and anybody may have one with the same columns: it is taken for ours where it
    begins with them, and a file of the same name and another kind carries its mark.

    Args:
        marks: what is to be written, to what stands in the head of every file of its kind that Swarm Ray writes; of a
            CSV file, what it begins with.
        what: they are, in a word.
        remedy: what the user can do otherwise.

    Raises:
        UserError: there is something else of that name.
        StoreError: it cannot be read.
    """
    for path in marks:
        if os.path.lexists(path) and not _renewable(path, marks):
            raise UserError(
                f"{path} is there already, and is no {what} that this version of Swarm Ray wrote: {remedy}"
            )


def _renewable(path: Path, marks: Mapping[Path, str]) -> bool:
    """A link that leads nowhere, a folder and a device are not."""
    head = _head(path)
    if not head:
        return head is not None
    if path.suffix != ".csv":
        return marks[path].encode() in head
    marked = (marks[p].encode() in (_head(p) or b"") for p in marks if p != path and p.stem == path.stem)
    return head.startswith(marks[path].encode()) and any(marked)


def _head(path: Path) -> bytes | None:
    """The beginning of a file; None of what is none."""
    if not path.is_file():
        return None
    with errors_of("read", str(path)), path.open("rb") as file:
        return file.read(HEAD_BYTES)


LONGEST = 4000
"""Characters of one completion or question that a page holds."""
HEAD = 140
"""Of them, what is seen before it is unfolded."""


def visible(text: str, most: int = LONGEST) -> str:
    """Text with its line ends, and every other character that is not to be seen written as its number.

    What escapes markup is jinja's part; this is about control characters, which would turn the direction of a line or
    cannot stand in a page at all.
    """
    shown = "".join(c if c.isprintable() or c == "\n" else _number(c) for c in text[:most])
    more = len(text) - most
    return shown if more <= 0 else f"{shown}\N{HORIZONTAL ELLIPSIS} ({more} more characters)"


def head(text: str) -> str:
    """The beginning of a long text on one line; empty where a short one can be shown whole."""
    line = " ".join(text.split())
    if len(line) <= HEAD and text.count("\n") < 4:
        return ""
    return f"{line[:HEAD]}\N{HORIZONTAL ELLIPSIS}"


def _number(letter: str) -> str:
    code = ord(letter)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


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
