"""Standard output and standard error of the command: whole texts, and no traceback when nobody reads them."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import msgspec

from swarm_ray.errors import UserError
from swarm_ray.formatting import WIDTH, clean

_MOST = 9
"""So many problems are printed; the rest is counted."""
DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses; what a run adds to them is in `swarm_ray.runtime.handle`."""


def write(text: str) -> None:
    """Write to standard output; a reader that has gone (`| head`) ends the output, not the command.

    Raises:
        UserError: it is closed, or cannot be written.
    """
    with printing():
        _write(sys.stdout, text)


@contextmanager
def printing() -> Iterator[None]:
    """For a block that prints; see `write`.

    Raises:
        UserError: standard output is closed, or cannot be written.
    """
    try:
        yield
    except OSError as error:
        _mute(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            why = error.strerror or error
            raise UserError(f"standard output could not be written ({why}); send it elsewhere") from error


def complain(text: str) -> None:
    """Write one line to standard error, after the command's name; where that fails, the exit status remains."""
    try:
        _write(sys.stderr, f"swarm-ray: {' '.join(clean(text).split())}\n")
    except OSError:
        _mute(sys.stderr)


def complain_of(problems: Sequence[str]) -> None:
    """Say on standard error what could not be read; the rest has been shown."""
    for problem in problems[:_MOST]:
        complain(problem)
    if len(problems) > _MOST:
        complain(f"and {len(problems) - _MOST} more")


def layout() -> tuple[int, bool]:
    """Columns of a table on standard output, and whether a terminal will show it."""
    styled = sys.stdout is not None and sys.stdout.isatty()
    return (shutil.get_terminal_size((WIDTH, 24)).columns if styled else WIDTH), styled


def show(value: Any, table: Callable[..., str], *, as_json: bool) -> None:
    """Write a value as one JSON document, or as the text that `table` makes of it for this width and style."""
    width, styled = layout()
    write(json_text(value) if as_json else table(value, width=width, styled=styled))


def json_text(value: object) -> str:
    """One JSON document of msgspec structs, indented."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:
        raise OSError(errno.EBADF, "it is closed")
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _mute(stream: TextIO | None) -> None:
    """Discard what is left: Python flushes once more at its end, and would fail then."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
