"""Standard output and standard error of the command: whole texts, no traceback when nobody listens."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TextIO

import msgspec

from swarm_ray.table_text import WIDTH, clean

DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses; what a run adds to them is in `swarm_ray.running`."""


def write(text: str) -> None:
    """Write to standard output; a reader that has gone (`| head`) ends the output, not the command."""
    _write(sys.stdout, text)


def complain(text: str) -> None:
    """Write one line to standard error, with the command's name before it."""
    _write(sys.stderr, f"swarm-ray: {' '.join(clean(text).split())}\n")


def layout() -> tuple[int, bool]:
    """Columns of a table on standard output, and whether a terminal will show it."""
    styled = sys.stdout.isatty()
    return (shutil.get_terminal_size((WIDTH, 24)).columns if styled else WIDTH), styled


def json_text(value: object) -> str:
    """One JSON document of msgspec structs, indented."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        # Python flushes once more at its end, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
