"""Standard output and standard error of the command: whole texts, no traceback when nobody listens."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

import msgspec

from swarm_ray.errors import UserError
from swarm_ray.formatting import WIDTH, clean

_MOST = 9
"""Problems that are told one by one."""
DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses; what a run adds to them is in `swarm_ray.runtime.handle`."""


def write(text: str) -> None:
    """Write to standard output; a reader that has gone (`| head`) ends the output, not the command.

    Raises:
        UserError: it is closed, or where it leads takes no more.
    """
    with printing():
        _write(sys.stdout, text)


@contextmanager
def printing() -> Iterator[None]:
    """For a block that prints; see `write`.

    Raises:
        UserError: standard output is closed, or where it leads takes no more.
    """
    try:
        yield
    except OSError as error:
        _mute(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            why = error.strerror or error
            raise UserError(f"standard output could not be written ({why}); send it elsewhere") from error


def complain(text: str) -> None:
    """Write one line to standard error, with the command's name before it; the exit status tells where none can be."""
    try:
        _write(sys.stderr, f"swarm-ray: {' '.join(clean(text).split())}\n")
    except OSError:
        _mute(sys.stderr)


def complain_of(problems: Sequence[str]) -> None:
    """Say on standard error what could not be read; what there is was shown all the same."""
    for problem in problems[:_MOST]:
        complain(problem)
    if len(problems) > _MOST:
        complain(f"and {len(problems) - _MOST} more")


def layout() -> tuple[int, bool]:
    """Columns of a table on standard output, and whether a terminal will show it."""
    styled = sys.stdout is not None and sys.stdout.isatty()
    return (shutil.get_terminal_size((WIDTH, 24)).columns if styled else WIDTH), styled


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
    """Python flushes once more at its end, and would complain then."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
