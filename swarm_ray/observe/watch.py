"""Watching a swarm from its folder: in a terminal, in a notebook's cell, or as a line every few seconds."""

from __future__ import annotations

import errno
import io
import math
import time
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console

from drive_store import StoreError
from swarm_ray.errors import ExperimentNotFoundError, UserError
from swarm_ray.experiments import experiment_status
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.experiments.read.experiment import OpenExperiment, find_identity, open_experiment, open_root
from swarm_ray.formatting import WIDTH
from swarm_ray.observe.display import Display, display_on
from swarm_ray.observe.folder import SnapshotReader
from swarm_ray.observe.snapshot import ExperimentSnapshot
from swarm_ray.observe.view import SwarmView

EVERY_S = 2.0


class OutputConsole(Console):
    """Standard output, whose reader may close it at any time (`| head`); rich would then end the process."""

    def on_broken_pipe(self) -> None:
        """Leave it to the caller.

        Raises:
            BrokenPipeError: always.
        """
        raise BrokenPipeError(errno.EPIPE, "standard output was closed")


class Watcher:
    """Polls an experiment, also before it exists and while its folder is out of reach.

    Args:
        root: the folder that holds the experiment.
        experiment: its name; None for the running one, or the only one.
        clock: seconds, monotonic.

    Raises:
        UserError: the name is not valid.
    """

    def __init__(
        self, root: str, experiment: str | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root, self._clock = root, clock
        self._address = ExperimentAddress(root, experiment) if experiment else None
        self._folder: SnapshotReader | None = None
        self._last: ExperimentSnapshot | None = None

    def look(self) -> ExperimentSnapshot:
        """The swarm now; while the folder is out of reach the last snapshot, with a line that says so.

        Raises:
            UserError: at the first look, the root is not a folder, `experiment.json` is not one of ours, or several
                experiments could be meant.
            StoreError: at the first look, the folder cannot be read.
            SwarmStateError: this version cannot read the newest state record.
        """
        try:
            self._last = self._look()
        except (StoreError, UserError) as error:
            self._folder = None
            if self._last is None:
                raise
            return replace(self._last, left_s=None, alarms=(f"out of reach, looking again: {error}",))
        return self._last

    def _look(self) -> ExperimentSnapshot:
        if self._folder is None:
            store = open_root(self._root)
            self._address = self._address or self._only_one()
            identity = find_identity(store, self._address) if self._address else None
            if self._address is None or identity is None:
                return self._absent()
            self._folder = SnapshotReader(OpenExperiment(self._address, store, identity), self._clock)
        return self._folder.look()

    def _only_one(self) -> ExperimentAddress | None:
        try:
            return ExperimentAddress(self._root, experiment_status(self._root).experiment)
        except ExperimentNotFoundError:
            return None

    def _absent(self) -> ExperimentSnapshot:
        """Before it was created; a missing experiment that existed may be on an unmounted Drive."""
        name = self._address.experiment if self._address else ""
        if self._last is not None and self._last.state != "absent":
            raise UserError(f"no experiment {name!r} in {self._root}; mount the folder, if it was mounted")
        what = f"experiment {name!r}" if name else "an experiment"
        note = f"waiting for {what} in {self._root}: no coordinator has created it yet"
        return ExperimentSnapshot(name or "the experiment", "absent", notes=(note,))


def watch(
    root: str,
    experiment: str | None = None,
    *,
    every_s: float = EVERY_S,
    until: Callable[[ExperimentSnapshot], bool] | None = None,
) -> None:
    """Show live progress of a swarm until it has ended, wherever it runs; read only.

    In a notebook the cell has one output, which is redrawn in place. It waits for an experiment that does not exist
    yet, and for a folder that goes out of reach. An interrupt ends it, and what was drawn last stays.

    Args:
        root: the folder that holds the experiment.
        experiment: its name; None for the running one, or the only one.
        every_s: seconds between two updates.
        until: ends it earlier, when it answers True to a snapshot: `until=lambda seen: seen.closed >= 100`.

    Raises:
        UserError: the root is not a folder, or the name or the seconds are not valid.
        StoreError: the folder cannot be read at the first look.
        BrokenPipeError: standard output was closed.
        SwarmStateError: this version cannot read the newest state record.
    """
    if not 0 < every_s < math.inf:
        raise UserError(f"{every_s:g} seconds between two updates are not possible; give a number above 0")
    keep_watching(Watcher(root, experiment), display_on(OutputConsole()), every_s, until)


def keep_watching(
    watcher: Watcher,
    display: Display,
    every_s: float,
    until: Callable[[ExperimentSnapshot], bool] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show updates until the experiment has ended, `until` says so, or an interrupt.

    Args:
        watcher: polls.
        display: shows; it is closed at the end.
        every_s: seconds between two updates.
        until: see `watch`.
        sleep: waits for so many seconds.
    """
    try:
        display.step("reading the folder")
        while True:
            snapshot = watcher.look()
            display.paint(snapshot)
            if snapshot.ended or (until is not None and until(snapshot)):
                return
            sleep(every_s)
    except KeyboardInterrupt:
        return
    finally:
        display.close()


def snapshot_text(
    root: str, experiment: str | None = None, *, width: int = WIDTH, styled: bool = False
) -> str:
    """A swarm's snapshot as text.

    Args:
        root: the folder that holds the experiment.
        experiment: its name; None for the running one, or the only one.
        width: columns.
        styled: for a terminal.

    Raises:
        ExperimentNotFoundError: no experiment has that name.
        UserError: the root is not a folder, or several experiments could be meant.
        StoreError: the folder cannot be read.
        SwarmStateError: this version cannot read the newest state record.
    """
    opened = open_experiment(root, experiment or experiment_status(root).experiment)
    out = io.StringIO()
    console = Console(
        file=out,
        force_jupyter=False,
        width=width,
        force_terminal=styled,
        color_system="standard" if styled else None,
        legacy_windows=False,
    )
    console.print(SwarmView(SnapshotReader(opened).look()))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())
