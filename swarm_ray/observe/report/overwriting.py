"""Reports are written again and again under one name: over what Swarm Ray wrote itself, and over nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from drive_store.errors import errors_of
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
    """Refuse to write over files that Swarm Ray did not write.

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
                f"{path} exists, and it is not a {what} that this version of Swarm Ray wrote: {remedy}"
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
    """The beginning of a file; None of what is not a file."""
    if not path.is_file():
        return None
    with errors_of("read", str(path)), path.open("rb") as file:
        return file.read(HEAD_BYTES)
