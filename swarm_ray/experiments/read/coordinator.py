"""An experiment's coordinator: who it is, its last heartbeat, and what its silence means."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from drive_store import read_coordinator_beats
from swarm_ray.config.schema import PaceConfig
from swarm_ray.experiments.read.experiment import OpenExperiment
from swarm_ray.formatting import duration
from swarm_ray.records.state import ENDED, ExperimentState

NOW_S = 1.0
"""Seconds within which something counts as seen just now."""


class CoordinatorStatus(msgspec.Struct, frozen=True):
    """The coordinator of an experiment at one moment."""

    claimant: str
    """`coordinator.<incarnation>`: who wrote the newest state record."""
    last_seen_s: float | None
    """Seconds since any coordinator wrote a record or a beat, by wall clocks."""
    alive: bool
    """Whether that is less than `pace.dead_after_s`, and the experiment has not ended."""
    problem: str | None
    """What its silence means for the nodes, in words."""


PAUSED = "no further round opens until somebody asks it to resume"
"""What a pause means, while there is a coordinator that can be asked."""


def coordinator_line(claimant: str, epoch: int, seen_s: float | None, *, by_clocks: bool) -> str:
    """Who coordinates, and when it was last heard of."""
    if seen_s is None:
        return f"{claimant}, epoch {epoch}"
    ago = "just now" if seen_s < NOW_S else f"{'about ' if by_clocks else ''}{duration(seen_s)} ago"
    return f"{claimant}, epoch {epoch}, last heard of {ago}"


def coordinator_alarm(
    state: ExperimentState,
    seen_s: float | None,
    pace: PaceConfig,
    alone: Collection[str],
    silent: int,
    nodes: int,
) -> str:
    """What it means that nothing is heard of a coordinator; empty while all is well.

    Args:
        state: of the newest record.
        seen_s: seconds since anything of a coordinator changed; None where that is not known.
        pace: the patience of the swarm.
        alone: nodes that say that they train alone.
        silent: nodes that are silent themselves.
        nodes: how many there are.
    """
    if state in ENDED or seen_s is None or seen_s <= pace.dead_after_s:
        return ""
    since = f"no heartbeat of a coordinator for {duration(seen_s)}"
    if silent == nodes:
        return f"{since}, nor of any node: run the command that started it again to resume"
    if alone:
        return f"{since}: {len(alone)} of {nodes} nodes train alone until a coordinator comes back"
    left = pace.alone_after_s - seen_s
    if left <= 0:
        return f"{since}: its nodes wait for a coordinator to come back"
    return f"{since}: its nodes wait, and train alone in {duration(left)}"


def coordinator_beats(experiment: OpenExperiment) -> dict[str, int]:
    """Claimant to the count in its last heartbeat, of all coordinators that there ever were.

    Raises:
        StoreError: the folder cannot be read.
    """
    found = read_coordinator_beats(experiment.view)
    return {claimant: beat.header.sequence for claimant, beat in found.items()}
