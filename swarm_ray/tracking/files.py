"""What trackers write: on this machine's own disk first, since Drive has no append, then whole into the nodes' logs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from drive_store import ExperimentStore, NameTaken


class TrackerFiles:
    """The files of a worker's trackers, a folder for each incarnation of a node.

    Args:
        experiment: the experiment in the shared folder.
        folder: on this machine's own disk, this worker's alone.
    """

    def __init__(self, experiment: ExperimentStore, folder: Path) -> None:
        self._store, self._paths, self._folder = experiment.store, experiment.paths, folder

    def home(self, node: str, incarnation: str) -> Path:
        """Where trackers write what is about one incarnation."""
        home = self._folder / f"{node}.{incarnation}"
        home.mkdir(parents=True, exist_ok=True)
        return home

    @property
    def waiting(self) -> bool:
        """Whether there is something to copy."""
        return any(self._folder.glob("*.*"))

    def copy_all(self) -> None:
        """Copy everything to the shared folder, and remove it here; all trackers must be closed.

        Raises:
            StoreError: the folder cannot be written; what was not copied is still here.
        """
        for home in sorted(self._folder.glob("*.*")):
            node, _, incarnation = home.name.partition(".")
            logs = self._paths.logs_folder(node, incarnation)
            for place, files in _runs(home):
                self._copy(f"{logs}/{place}", files)
            shutil.rmtree(home)

    def _copy(self, folder: str, files: dict[str, Path]) -> None:
        """Copy the files of one run, into a folder of another name where a copy was left that is not whole."""
        attempt, target = 0, folder
        while not self._copied(target, files):
            attempt += 1
            target = f"{folder}-{attempt}"

    def _copied(self, folder: str, files: dict[str, Path]) -> bool:
        """Whether all files lie in `folder` now; False when a name there is taken by something else."""
        self._store.make_folder(folder)
        for name, path in files.items():
            key = f"{folder}/{name}"
            if "/" in name:
                self._store.make_folder(key.rpartition("/")[0])
            try:
                self._store.put_file(key, path)
            except NameTaken:
                if not self._store.holds(key, path.read_bytes()):
                    return False
        return True


def _runs(home: Path) -> Iterator[tuple[str, dict[str, Path]]]:
    """What there is to copy: a folder's place below the incarnation's logs, and its files by name.

    Debugging logs of wandb stay here, and TensorBoard's names lose the host's name that is in them.
    """
    for run in sorted(path for path in home.glob("wandb/*run-*") if path.is_dir() and not path.is_symlink()):
        found = [*run.glob("*.wandb"), *[path for path in run.glob("files/**/*") if path.is_file()]]
        files = {path.relative_to(run).as_posix(): path for path in sorted(found)}
        if files:
            yield f"wandb/{run.name}", files
    events = {}
    for path in sorted(home.glob("tensorboard/events.out.tfevents.*")):
        began, (_, process, number) = path.name.split(".")[3], path.name.rsplit(".", 2)
        events[f"events.out.tfevents.{began}.{process}.{number}"] = path
    if events:
        yield "tensorboard", events
