"""The files of an experiment's folder as they lie there, whatever their names; links are not followed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from drive_store.oserrors import errors_of
from swarm_ray.experiments.read import OpenExperiment
from swarm_ray.table_text import clean


@dataclass(frozen=True)
class FolderFile:
    """One file."""

    path: Path
    within: PurePosixPath
    """Its path within the experiment's folder."""
    size: int
    """Bytes."""


def folder_of(experiment: OpenExperiment) -> Path:
    """The experiment's folder on this machine."""
    return Path(experiment.store.root) / experiment.paths.folder


def files_of(experiment: OpenExperiment, problems: list[str]) -> list[FolderFile]:
    """All files of an experiment, sorted, `experiment.json` last.

    What vanishes while it is looked at is left out: an experiment may be running, and its nodes tidy up.

    Args:
        experiment: whose.
        problems: takes a line for each thing that is neither a file nor a folder.

    Raises:
        StoreError: the folder cannot be listed.
    """
    folder = folder_of(experiment)
    with errors_of("list the folder", str(folder)):
        found = sorted(_walk(folder, folder, problems), key=lambda file: file.within)
    # Whoever copies or removes what this names, and is interrupted, leaves what can be told from an experiment.
    return sorted(found, key=lambda file: str(file.within) == "experiment.json")


def folders_of(experiment: OpenExperiment) -> list[PurePosixPath]:
    """The folders right in an experiment's folder, sorted.

    Raises:
        StoreError: it cannot be listed.
    """
    folder = folder_of(experiment)
    with errors_of("list the folder", str(folder)), os.scandir(folder) as entries:
        names = [e.name for e in entries if e.is_dir(follow_symlinks=False) and e.name.isprintable()]
    return [PurePosixPath(name) for name in sorted(names)]


def files_below(folder: Path) -> list[FolderFile]:
    """All files below a folder of this machine; none where there is no such folder.

    Raises:
        StoreError: it cannot be listed.
    """
    with errors_of("list the folder", str(folder)):
        return list(_walk(folder, folder, []))


def _walk(folder: Path, top: Path, problems: list[str]) -> Iterator[FolderFile]:
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except FileNotFoundError:
        return
    for entry in found:
        path = Path(entry.path)
        within = PurePosixPath(path.relative_to(top))
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path, top, problems)
        elif entry.is_file(follow_symlinks=False) and entry.name.isprintable():
            try:
                yield FolderFile(path, within, entry.stat(follow_symlinks=False).st_size)
            except FileNotFoundError:
                continue
        else:
            problems.append(
                clean(f"{path} is left out: it is a link, no file, or has a name that no text can hold")
            )
