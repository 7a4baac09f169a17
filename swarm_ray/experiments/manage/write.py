"""Files that are written for people, wherever they want them: whole or not at all, and never over others unasked."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drive_store import EXPERIMENTS, Store
from swarm_ray.errors import UserError


def asked_path(text: Path | str) -> Path:
    """Where somebody wants something written, a `~` resolved.

    Raises:
        UserError: the text is empty, which would mean the working directory, or begins with the home of nobody.
    """
    if not str(text).strip():
        raise UserError("an empty path names no place to write to; name a file or a folder")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UserError(f"{text}: there is no such home folder; write the path in full") from error


@contextmanager
def writing_errors(path: Path) -> Iterator[None]:
    """Let the block raise a `UserError` in place of the operating system's, since another path may do.

    Errors of the experiment's folder are `StoreError` by then, and pass.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        if isinstance(error, FileExistsError | NotADirectoryError):
            why = "a file stands where a folder is needed"
        raise UserError(f"{path} could not be written: {why}; name another path") from error


def resolved(path: Path) -> Path:
    """The path without links.

    Raises:
        UserError: no file can have it.
    """
    with writing_errors(path):
        return path.resolve()


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
        UserError: it would, or no file can have this path.
    """
    experiments = Path(Store(root).root, EXPERIMENTS).resolve()
    if resolved(path).is_relative_to(experiments):
        raise UserError(f"{path} lies among the experiments' own files in {experiments}; write it elsewhere")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A file beside the one that is wanted; it takes that one's name when the block has ended, and is gone otherwise.

    Raises:
        UserError: a folder has the file's name, or the file cannot be written.
    """
    with writing_errors(path):
        if path.is_dir():
            raise UserError(f"{path} is a folder where a file is to be written; take another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")
        try:
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
