"""Whether a coordinator is alive: judged by change, on this machine's own monotonic clock."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from drive_store import ExperimentStore, read_coordinator_beats
from swarm_ray.config.schema import PaceConfig


class CoordinatorLiveness:
    """When the coordinator was last seen: by a record, or by its heartbeat between records.

    Args:
        experiment: the experiment in the shared folder.
        pace: how often a coordinator beats.
        clock: seconds, monotonic.
    """

    def __init__(self, experiment: ExperimentStore, pace: PaceConfig, clock: Callable[[], float]) -> None:
        self._experiment, self._clock = experiment, clock
        self._every = min(pace.beat_s, pace.alone_after_s / 4)
        self._heard = clock()
        self._looked = -inf
        self._beats: dict[str, int] = {}

    def silence(self) -> float:
        """Seconds since anything of a coordinator changed; a watch that has just begun has heard it now."""
        return self._clock() - self._heard

    def look(self, *, found: bool) -> None:
        """Take note of a look at the log, and look for beats where nothing new was found for a while.

        Raises:
            StoreError: the folder is not the one that was attached, or cannot be read.
        """
        now = self._clock()
        if found:
            self._heard = now
        if now - max(self._heard, self._looked) < self._every:
            return
        self._looked = now
        self._experiment.store.check()  # an unmounted Drive is an empty folder, in which nothing ever changes
        read = read_coordinator_beats(self._experiment)
        beats = {claimant: reading.header.sequence for claimant, reading in read.items()}
        if any(self._beats.get(claimant) != count for claimant, count in beats.items()):
            self._heard = now
        self._beats |= beats
