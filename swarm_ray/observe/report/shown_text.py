"""Text of others as a page shows it: nothing steers what is around it, and nothing is endless."""

from __future__ import annotations

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
