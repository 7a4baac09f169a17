"""Looks at an experiment for as long as somebody watches: before it is there, and while the folder is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from drive_store import StoreError
from swarm_ray.errors import ExperimentNotFoundError, UserError
from swarm_ray.experiments import experiment_status
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.experiments.read.experiment import OpenExperiment, find_identity, open_root
from swarm_ray.observe.folder import SwarmFolder
from swarm_ray.observe.snapshot import Picture


class Watcher:
    """Answers a picture at every look.

    Args:
        root: the folder that holds the experiment.
        experiment: its name; None for the one that is under way, or the only one.
        clock: seconds, monotonic.

    Raises:
        UserError: it is no name.
    """

    def __init__(
        self, root: str, experiment: str | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root, self._clock = root, clock
        self._address = ExperimentAddress(root, experiment) if experiment else None
        self._folder: SwarmFolder | None = None
        self._last: Picture | None = None

    def look(self) -> Picture:
        """The swarm now; while the folder is out of reach as it was seen last, with a line that says so.

        Raises:
            UserError: at the first look, the root is no folder, `experiment.json` is not one of ours, or nobody can
                tell which of several experiments is meant.
            StoreError: at the first look, the folder cannot be read.
            SwarmStateError: the newest state record is none that this version reads.
        """
        try:
            self._last = self._look()
        except (StoreError, UserError) as error:
            self._folder = None
            if self._last is None:
                raise
            return replace(self._last, left_s=None, alarms=(f"out of reach, looking again: {error}",))
        return self._last

    def _look(self) -> Picture:
        if self._folder is None:
            opened = self._open()
            if opened is None:
                return self._absent()
            self._folder = SwarmFolder(opened, self._clock)
        return self._folder.look()

    def _open(self) -> OpenExperiment | None:
        store = open_root(self._root)
        self._address = self._address or self._only_one()
        identity = find_identity(store, self._address) if self._address else None
        if self._address is None or identity is None:
            return None
        return OpenExperiment(self._address, store, identity)

    def _only_one(self) -> ExperimentAddress | None:
        try:
            return ExperimentAddress(self._root, experiment_status(self._root).experiment)
        except ExperimentNotFoundError:
            return None

    def _absent(self) -> Picture:
        """Before it was made; one that was there and is not to be seen may lie on a Drive that was unmounted."""
        name = self._address.experiment if self._address else ""
        if self._last is not None and self._last.state != "absent":
            raise UserError(f"no experiment {name!r} in {self._root}; mount the folder, if it was mounted")
        what = f"experiment {name!r}" if name else "an experiment"
        note = f"waiting for {what} in {self._root}: no coordinator has made it yet"
        return Picture(name or "the experiment", "absent", notes=(note,))
