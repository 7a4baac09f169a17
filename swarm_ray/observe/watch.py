"""Watching a swarm from its folder: in a terminal, in a notebook's cell, or as a line now and then."""

from __future__ import annotations

import errno
import io
import math
import time
from collections.abc import Callable

from rich.console import Console

from swarm_ray.errors import UserError
from swarm_ray.experiments import experiment_status
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.formatting import WIDTH
from swarm_ray.observe.display import Display, display_on
from swarm_ray.observe.folder import SwarmFolder
from swarm_ray.observe.snapshot import Picture
from swarm_ray.observe.view import SwarmView
from swarm_ray.observe.watcher import Watcher

EVERY_S = 2.0


class OutputConsole(Console):
    """Standard output, whose reader may go at any time (`| head`); rich would end the whole process then."""

    def on_broken_pipe(self) -> None:
        """Leave it to the caller.

        Raises:
            BrokenPipeError: always.
        """
        raise BrokenPipeError(errno.EPIPE, "nobody reads standard output any more")


def watch(
    root: str,
    experiment: str | None = None,
    *,
    every_s: float = EVERY_S,
    until: Callable[[Picture], bool] | None = None,
) -> None:
    """Show how a swarm gets on until it has ended, wherever it runs; nothing is written and nothing is trained.

    In a notebook the cell has one output, which is redrawn in place. An experiment that is not there yet is waited
    for, and so is a folder that goes out of reach. An interrupt ends the watching, and the last picture stays.

    Args:
        root: the folder that holds the experiment.
        experiment: its name; None for the one that is under way, or the only one.
        every_s: seconds between two looks.
        until: leaves off earlier, when it says True of a picture: `until=lambda seen: seen.closed >= 100`.

    Raises:
        UserError: the root is no folder, the name is none, or the seconds are none.
        StoreError: the folder cannot be read at the first look.
        BrokenPipeError: nobody reads standard output any more.
        SwarmStateError: the newest state record is none that this version reads.
    """
    if not 0 < every_s < math.inf:
        raise UserError(f"{every_s:g} seconds between two looks are not possible; give a number above 0")
    keep_watching(Watcher(root, experiment), display_on(OutputConsole()), every_s, until)


def keep_watching(
    watcher: Watcher,
    display: Display,
    every_s: float,
    until: Callable[[Picture], bool] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Look and show until the experiment has ended, `until` says so, or somebody interrupts.

    Args:
        watcher: looks.
        display: shows; it is closed at the end.
        every_s: seconds between two looks.
        until: see `watch`.
        sleep: waits for so many seconds.
    """
    try:
        display.step("looking at the folder")
        while True:
            picture = watcher.look()
            display.paint(picture)
            if picture.ended or (until is not None and until(picture)):
                return
            sleep(every_s)
    except KeyboardInterrupt:
        return
    finally:
        display.close()


def picture_once(
    root: str, experiment: str | None = None, *, width: int = WIDTH, styled: bool = False
) -> str:
    """A swarm's picture as text, as it is now.

    Args:
        root: the folder that holds the experiment.
        experiment: its name; None for the one that is under way, or the only one.
        width: columns.
        styled: for a terminal.

    Raises:
        ExperimentNotFoundError: there is none of that name.
        UserError: the root is no folder, or nobody can tell which of several experiments is meant.
        StoreError: the folder cannot be read.
        SwarmStateError: the newest state record is none that this version reads.
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
    console.print(SwarmView(SwarmFolder(opened, time.monotonic).look()))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())
