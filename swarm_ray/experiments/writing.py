"""Files that are written for people, wherever they want them: whole or not at all, and never over others unasked."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drive_store import EXPERIMENTS, Store
from drive_store.oserrors import errors_of
from swarm_ray.errors import UserError


def require_new(path: Path) -> None:
    """Make sure that a file can be written without writing over another.

    Raises:
        UserError: there is something of that name.
    """
    if os.path.lexists(path):
        raise UserError(f"{path} is there already: take another name, or give --overwrite to write over it")


def require_outside(root: str, path: Path) -> None:
    """Make sure that what is written for people does not land among the experiments' own files.

    Raises:
        UserError: it would.
    """
    experiments = Path(Store(root).root, EXPERIMENTS).resolve()
    if path.resolve().is_relative_to(experiments):
        raise UserError(f"{path} lies among the experiments' own files in {experiments}; write it elsewhere")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A file beside the one that is wanted; it takes that one's name when the block has ended, and is gone otherwise.

    Raises:
        UserError: a folder has the file's name.
        StoreError: the file cannot be written.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder where a file is to be written; take another name")
    with errors_of("write", str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")
        try:
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
