"""A swarm's snapshot from its folder alone, wherever its nodes run; the cost of a look does not grow."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from swarm_ray.experiments.read.coordinator import coordinator_line
from swarm_ray.experiments.read.experiment import OpenExperiment
from swarm_ray.experiments.read.status import ExperimentReader, ExperimentReading
from swarm_ray.observe.diagnosis import (
    diagnosed,
    result_line,
    swarm_alarm,
    swarm_notes,
    with_lost_files,
)
from swarm_ray.observe.recent_records import NewestRecords, RewardCurve, sample_log
from swarm_ray.observe.snapshot import (
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


class SnapshotReader:
    """Looks at an experiment again and again.

    A look costs five listings or so, and a small read per node, per coordinator and per new record (20 at most),
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
        self._log, self._curve = NewestRecords(opened.view), RewardCurve()
        self._reader = ExperimentReader(opened, clock)

    def look(self) -> ExperimentSnapshot:
        """The swarm as it is now.

        Raises:
            SwarmStateError: this version cannot read the newest state record.
            StoreError: the folder is out of reach, or is not the one that it was.
        """
        self._opened.store.check()  # an unmounted Drive is an empty folder, in which nothing ever changes
        before = self._log.ref
        records = self._log.look()
        if records and self._log.ref != before:
            self._extend_curve(records, first=before is None)
        reading = self._reader.look(records[-1] if records else None, self._log.ref)
        snapshot = _snapshot(reading, records)
        return replace(snapshot, rewards=self._curve.values()) if records else snapshot

    def _extend_curve(self, records: tuple[StateRecord, ...], *, first: bool) -> None:
        head = self._log.ref
        older = sample_log(self._opened.view, head) if first and head else []
        for record in (*older, *records):
            self._curve.add(record)


def _snapshot(reading: ExperimentReading, records: tuple[StateRecord, ...]) -> ExperimentSnapshot:
    """The figures of the newest records, and what the nodes' heartbeats add to them."""
    record, config, lost = reading.record, reading.config, reading.coordinator_problem()
    tallies, closed = list(record.tallies.values()), rounds_closed(record)
    round_s = round_seconds([one.seconds for one in closings(records)])
    alarms = (swarm_alarm(record), lost)
    notes = (record.note, *swarm_notes(record, lost=bool(lost)))
    return ExperimentSnapshot(
        experiment=reading.experiment.paths.experiment,
        state=record.state,
        label=label(config) if config else "",
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
    line = node_snapshot(node, records, reading.config.local if reading.config else None)
    line = replace(line, problems=tuple(reading.problems(node)))
    found = reading.nodes.get(node)
    line = diagnosed(line, found, reading) if found else line
    if reading.record.state in ENDED:
        line = with_lost_files(line, reading.record)
    refused = reading.refused(node)
    return replace(line, problems=(*line.problems, refused)) if refused else line


def _coordinator(reading: ExperimentReading) -> str:
    ref = reading.ref
    if ref is None:
        return ""
    seen_s = None if reading.record.state in ENDED else reading.coordinator_seen_s
    return coordinator_line(ref.claimant, ref.epoch, seen_s, by_clocks=reading.coordinator_by_clocks)
