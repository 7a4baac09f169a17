"""The newest state records and the reward curve of the whole run, at a cost that does not grow with the rounds."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise

from drive_store import ExperimentStore, StateEntry, StateLogTail, StateRef
from drive_store.names import StateName
from drive_store.statelog.log import list_bucket, preference, read_record
from swarm_ray.errors import SwarmStateError
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.observe.snapshot import WINDOW
from swarm_ray.records.state import StateRecord

SAMPLES = 16
"""So many older records are read at the first look, for the curve."""
MOST_POINTS = 240
PARTS = 40


class NewestRecords:
    """Keeps the newest records: a look reads those that are new, `WINDOW` at most.

    Args:
        experiment: the experiment in the shared folder.
    """

    def __init__(self, experiment: ExperimentStore) -> None:
        self._tail = StateLogTail(experiment, WINDOW)
        self._records: dict[StateRef, StateRecord] = {}

    @property
    def ref(self) -> StateRef | None:
        """Names the newest record; None before the first."""
        return next(reversed(self._records), None)

    def look(self) -> tuple[StateRecord, ...]:
        """The newest records of the chain that is obeyed, oldest first.

        Raises:
            SwarmStateError: this version cannot read the newest.
            StoreError: the folder cannot be read.
        """
        entries = self._tail.look()
        self._records = {e.ref: self._records.get(e.ref) or decode_state(e) for e in entries}
        return tuple(self._records.values())


class RewardCurve:
    """Mean own reward over the run: sums that the records carry tell it, however few of them are read."""

    def __init__(self) -> None:
        self._points: list[tuple[int, float]] = []

    def add(self, record: StateRecord) -> None:
        """Take note of a record, in order."""
        counted = [tally for tally in record.tallies.values() if tally.round >= 0]
        steps = sum(tally.step + 1 for tally in counted)
        if steps > (self._points[-1][0] if self._points else 0):
            self._points.append((steps, sum(tally.totals.reward for tally in counted)))
        if len(self._points) > MOST_POINTS:
            self._points = [self._points[0], *self._points[2::2]]

    def values(self, most: int = PARTS) -> tuple[float, ...]:
        """Means of equal parts of the steps so far, oldest first; where few records are known, of whole stretches."""
        if not self._points:
            return ()
        steps, parts = self._points[-1][0], min(most, len(self._points))
        sums = [self._sum_at(steps * i / parts) for i in range(parts + 1)]
        return tuple((after - before) / (steps / parts) for before, after in pairwise(sums))

    def _sum_at(self, steps: float) -> float:
        """The sum of rewards after so many steps, on a line between the two points around it."""
        points = [(0, 0.0), *self._points]
        place = max(1, min(bisect_left(points, (steps, 0.0)), len(points) - 1))
        (left, low), (right, high) = points[place - 1], points[place]
        return low + (high - low) * (steps - left) / (right - left)


def sample_log(experiment: ExperimentStore, head: StateRef, most: int = SAMPLES) -> list[StateRecord]:
    """Records from all over the log before `head`, in order: a listing and a read for each at most.

    Names alone decide which coordinator a record is taken from, which is enough for a curve.

    Raises:
        StoreError: the folder cannot be read.
    """
    last = max(head.sequence - WINDOW, 0)
    wanted = sorted({last * i // (most - 1) for i in range(most)}) if last else []
    listed: dict[str, list[StateName]] = {}
    records = []
    for sequence in wanted:
        folder = experiment.paths.state_bucket(sequence)
        if folder not in listed:
            listed[folder] = sorted(list_bucket(experiment.store, folder), key=preference)
        name = next((n for n in listed[folder] if n.sequence == sequence and n.epoch <= head.epoch), None)
        entry = read_record(experiment, name) if name else None
        try:
            records += [decode_state(entry)] if isinstance(entry, StateEntry) else []
        except SwarmStateError:  # one point less in the curve
            continue
    return records
