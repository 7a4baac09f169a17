"""Reports are written again and again under one name: over what Swarm Ray wrote itself, and over nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from drive_store.oserrors import errors_of
from swarm_ray.errors import UserError

WRITER = "swarm-ray"
"""Who wrote a file, where its format has a field for that."""
PAGE_MARK = f'<meta name="generator" content="{WRITER}">'
JSON_MARK = f'"written_by": "{WRITER}"'
HEAD_BYTES = 4096
"""A mark stands within so many bytes."""
OVERWRITE = "take another name, or give --overwrite to write over it"


def require_renewable(marks: Mapping[Path, str], remedy: str = OVERWRITE) -> None:
    """Make sure that each of these files is new, empty, or one that Swarm Ray wrote.

    Args:
        marks: what is to be written, to what stands in the head of every file of its kind that Swarm Ray writes.
        remedy: what the user can do otherwise.

    Raises:
        UserError: there is something else of that name.
        StoreError: it cannot be read.
    """
    for path, mark in marks.items():
        if os.path.lexists(path) and not _renewable(path, mark.encode()):
            raise UserError(f"{path} is there already, and Swarm Ray did not write it: {remedy}")


def _renewable(path: Path, mark: bytes) -> bool:
    """A link that leads nowhere, a folder and a device are not."""
    if not path.is_file():
        return False
    with errors_of("read", str(path)), path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return not head or mark in head
