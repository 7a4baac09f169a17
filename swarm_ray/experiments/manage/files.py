"""Files of an experiment's folder, and files that are written for people.

The first are listed whatever their names; links are not followed. The second are written whole or not at all, and never
over others unless that was asked for; what Swarm Ray wrote itself, such as a report, is renewed.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from drive_store import EXPERIMENTS, Store
from drive_store.errors import errors_of
from swarm_ray.errors import UserError
from swarm_ray.experiments.read.experiment import ExperimentFolder, OpenExperiment
from swarm_ray.formatting import clean

OVERWRITE = "take another name, or give --overwrite to write over it"


@dataclass(frozen=True)
class FolderFile:
    """One file."""

    path: Path
    within: PurePosixPath
    """Its path within the experiment's folder."""
    size: int
    """Bytes."""


def folder_of(experiment: ExperimentFolder) -> Path:
    """The experiment's folder on this machine."""
    return Path(experiment.store.root) / experiment.paths.folder


def refuse_link(experiment: ExperimentFolder, what: str) -> None:
    """Make sure that an experiment's folder is the folder itself: what lies behind a link belongs to somebody else.

    Args:
        experiment: whose.
        what: what is about to be done to it, as in "it cannot be <what>".

    Raises:
        UserError: it is a link.
    """
    folder = folder_of(experiment)
    if folder.is_symlink():
        raise UserError(
            f"{folder} is a link, so it cannot be {what}; give the root that it leads to, or remove the link"
        )


def files_of(experiment: OpenExperiment, left_out: list[str] | None = None) -> list[FolderFile]:
    """All files of an experiment, sorted, `experiment.json` last.

    What vanishes while it is looked at is left out: an experiment may be running, and its nodes tidy up.

    Args:
        experiment: whose.
        left_out: takes a line for each thing that is left out: links, pipes, and names that cannot be printed.

    Raises:
        StoreError: the folder cannot be listed.
    """
    # An interrupted copy or removal in this order leaves something distinguishable from an experiment.
    found = files_below(folder_of(experiment), left_out)
    return sorted(found, key=lambda file: (str(file.within) == "experiment.json", file.within))


def folders_of(experiment: OpenExperiment) -> list[PurePosixPath]:
    """The folders right in an experiment's folder, sorted.

    Raises:
        StoreError: it cannot be listed.
    """
    folder = folder_of(experiment)
    with errors_of("list the folder", str(folder)), os.scandir(folder) as entries:
        names = [e.name for e in entries if e.is_dir(follow_symlinks=False) and e.name.isprintable()]
    return [PurePosixPath(name) for name in sorted(names)]


def files_below(folder: Path, left_out: list[str] | None = None) -> list[FolderFile]:
    """All files below a folder of this machine; none where the folder does not exist.

    Raises:
        StoreError: it cannot be listed.
    """
    with errors_of("list the folder", str(folder)):
        return list(_walk(folder, folder, [] if left_out is None else left_out))


def _walk(folder: Path, top: Path, left_out: list[str]) -> Iterator[FolderFile]:
    found: list[os.DirEntry[str]] = []
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        path = Path(entry.path)
        if not entry.name.isprintable():
            left_out.append(clean(f"{path} has a name that cannot be printed"))
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(path, top, left_out)
        elif entry.is_file(follow_symlinks=False):
            with suppress(FileNotFoundError):
                yield FolderFile(path, PurePosixPath(path.relative_to(top)), entry.stat().st_size)
        else:
            left_out.append(f"{path} is {'a link' if entry.is_symlink() else 'no file'}")


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
        raise UserError(f"{text}: its home folder does not exist; write the path in full") from error


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


def require_outside(root: str, path: Path) -> None:
    """Make sure that what is written for people does not land among the experiments' own files.

    Raises:
        UserError: it would, or no file can have this path.
    """
    experiments = Path(Store(root).root, EXPERIMENTS).resolve()
    if resolved(path).is_relative_to(experiments):
        raise UserError(f"{path} lies among the experiments' own files in {experiments}; write it elsewhere")


@contextmanager
def written_whole(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """A file beside the one that is wanted; it takes that one's name when the block has ended, and is gone otherwise.

    Args:
        path: the file that is wanted.
        overwrite: write over one that is there.

    Raises:
        UserError: it is there and is not written over, a folder has its name, or it cannot be written.
    """
    if not overwrite and os.path.lexists(path):
        raise UserError(f"{path} is there already: {OVERWRITE}")
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


WRITER = "swarm-ray"
"""Who wrote a file, where its format has a field for that."""
PAGE_MARK = f'<meta name="generator" content="{WRITER} report">'
SWEEP_MARK = f'<meta name="generator" content="{WRITER} sweep">'
"""Another than a report's, since neither is to go over the other."""
JSON_MARK = f'"written_by": "{WRITER}"'
HEAD_BYTES = 4096
"""A mark stands within so many bytes."""


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
