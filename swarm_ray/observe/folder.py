"""A swarm's snapshot from its folder alone, wherever its nodes run; at a cost that does not grow with the run."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

from drive_store import ExperimentStore, StateEntry, StateLogTail, StateRef
from drive_store.statelog.log import list_bucket, preference, read_record
from swarm_ray.errors import SwarmStateError
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.experiments.read.experiment import OpenExperiment
from swarm_ray.experiments.read.liveness import coordinator_line
from swarm_ray.experiments.read.status import ExperimentReader, ExperimentReading
from swarm_ray.observe.diagnosis import diagnosed, result_line, swarm_alarm, swarm_notes
from swarm_ray.observe.snapshot import (
    WINDOW,
    ExperimentSnapshot,
    NodeSnapshot,
    closings,
    label,
    node_snapshot,
    round_seconds,
    rounds_closed,
    seconds_left,
    swarm_reward,
)
from swarm_ray.records.state import ENDED, StateRecord

SAMPLES = 16
"""Older records read at first, for the curve."""
MOST_POINTS = 240
PARTS = 40


class RewardCurve:
    """Mean own reward over the run, from the sums that records carry, however few are read."""

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
        """Means of equal parts of the steps so far, oldest first; coarser if few records are known."""
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


def sample_log(experiment: ExperimentStore, head: StateRef) -> list[StateRecord]:
    """Records from all over the log before `head`, in order: a listing and a read for each at most.

    Names alone decide which coordinator a record is taken from, which is enough for a curve.

    Raises:
        StoreError: the folder cannot be read.
    """
    last = head.sequence - WINDOW
    wanted = sorted({last * i // (SAMPLES - 1) for i in range(SAMPLES)}) if last > 0 else []
    folders = {sequence: experiment.paths.state_bucket(sequence) for sequence in wanted}
    listed = {f: sorted(list_bucket(experiment.store, f), key=preference) for f in {*folders.values()}}
    records = []
    for sequence, folder in folders.items():
        name = next((n for n in listed[folder] if n.sequence == sequence and n.epoch <= head.epoch), None)
        entry = read_record(experiment, name) if name else None
        with suppress(SwarmStateError):  # one point less in the curve
            records += [decode_state(entry)] if isinstance(entry, StateEntry) else []
    return records


class SnapshotReader:
    """Polls an experiment.

    A poll costs about five listings, and a small read per node, per coordinator and per new record (20 at most),
    however many rounds there were. The first one reads some older records too.

    Args:
        opened: the experiment.
        clock: seconds, monotonic.

    Raises:
        StoreUnavailable: the folder cannot be read.
    """

    def __init__(self, opened: OpenExperiment, clock: Callable[[], float] = time.monotonic) -> None:
        self._opened = opened
        opened.store.attach(opened.paths.experiment_json)
        self._tail, self._curve = StateLogTail(opened.view, WINDOW), RewardCurve()
        self._records: dict[StateRef, StateRecord] = {}
        """The newest records of the valid chain, oldest first; a poll reads those that are new."""
        self._reader = ExperimentReader(opened, clock)

    def look(self) -> ExperimentSnapshot:
        """The swarm as it is now.

        Raises:
            SwarmStateError: this version cannot read the newest state record.
            StoreError: the folder is out of reach, or has been replaced.
        """
        self._opened.store.check()  # an unmounted Drive looks like an empty folder that never changes
        known = self._records
        self._records = {e.ref: known.get(e.ref) or decode_state(e) for e in self._tail.look()}
        head, records = next(reversed(self._records), None), tuple(self._records.values())
        if head is not None and head not in known:
            for record in (*([] if known else sample_log(self._opened.view, head)), *records):
                self._curve.add(record)
        snapshot = _snapshot(self._reader.look(records[-1] if records else None, head), records)
        return replace(snapshot, rewards=self._curve.values()) if records else snapshot


def _snapshot(reading: ExperimentReading, records: tuple[StateRecord, ...]) -> ExperimentSnapshot:
    """The figures of the newest records, and what the nodes' heartbeats add to them."""
    record, sizes, lost = reading.record, reading.sizes, reading.coordinator_problem()
    tallies, closed = list(record.tallies.values()), rounds_closed(record)
    round_s = round_seconds([one.seconds for one in closings(records)])
    alarms = (swarm_alarm(record), lost)
    notes = (record.note, *swarm_notes(record, lost=bool(lost)))
    return ExperimentSnapshot(
        experiment=reading.experiment.paths.experiment,
        state=record.state,
        label=label(sizes.local, sizes.external) if sizes else "",
        rounds=record.rounds,
        closed=closed,
        round_s=round_s,
        left_s=seconds_left(record.state, record.rounds - closed, round_s, reading.record_seen_s),
        reward=swarm_reward(records),
        cumulative=sum(tally.totals.reward for tally in tallies) if records else None,
        nodes=tuple(_node(reading, node, records) for node in reading.node_ids),
        coordinator=_coordinator(reading),
        result=result_line(tallies) if records and record.state in ENDED else "",
        alarms=tuple(text for text in alarms if text),
        notes=tuple(text for text in notes if text),
        lost=bool(lost),
    )


def _node(reading: ExperimentReading, node: str, records: tuple[StateRecord, ...]) -> NodeSnapshot:
    line = diagnosed(node_snapshot(node, records, reading.sizes.local if reading.sizes else None), reading)
    refused = reading.refused(node)
    return replace(line, problems=(*line.problems, refused)) if refused else line


def _coordinator(reading: ExperimentReading) -> str:
    ref, over = reading.ref, reading.record.state in ENDED
    if ref is None:
        return ""
    seen_s = None if over else reading.coordinator_seen_s
    return coordinator_line(ref.claimant, ref.epoch, seen_s, by_clocks=reading.coordinator_by_clocks)
