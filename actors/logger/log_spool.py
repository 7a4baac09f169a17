"""A node's rows on their way into its logs: spooled on this machine's disk, deduplicated, closed as segments."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from drive_store import UNREADABLE, ExperimentStore, SegmentWriter, StoreFull
from drive_store.names import parse_segment_name
from swarm_ray.machine.local_disk import LocalJson
from swarm_ray.records.metrics import Event, StepMetrics

Key = tuple[str, Literal["metrics", "events"]]
"""An incarnation, and which of its rows."""
REMEMBERED = 1024
"""Rows remembered for deduplication; an older row counts as logged."""


class Logged(msgspec.Struct):
    """What this machine has logged of a node, all its incarnations together."""

    steps: list[int] = []
    """Steps of the metrics rows, the latest `REMEMBERED` in ascending order."""
    events: list[str] = []
    """Hashes of the latest events."""
    rewards: dict[int, float] = {}
    """Own reward by round."""
    seconds: dict[str, float] = {}
    used: int = 0

    def take(self, row: StepMetrics | Event) -> bool:
        """Count a row or an event; False when it was counted before."""
        if isinstance(row, StepMetrics):
            return self._take_metrics(row)
        known = hashlib.sha256(msgspec.json.encode(row)).hexdigest()[:16]
        if known in self.events:
            return False
        self.events = [*self.events[1 - REMEMBERED :], known]
        return True

    def _take_metrics(self, row: StepMetrics) -> bool:
        oldest = self.steps[0] if len(self.steps) >= REMEMBERED else -1
        if row.step in self.steps or row.step < oldest:
            return False
        self.steps = sorted([*self.steps, row.step])[-REMEMBERED:]
        if not row.alone:
            self.rewards[row.round] = row.reward
        self.used += row.counters.used
        for phase, seconds in row.seconds.items():
            self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds
        return True


class LogSpool:
    """The rows of one node.

    A row is in the spool before the call that brought it returns. What was logged is saved before a segment is closed,
    and completed from the spool after a restart: a row that is sent twice is logged once.

    Args:
        experiment: where segments go.
        node: whose rows.
        folder: on this machine's own disk; holds `<node>.<incarnation>.<kind>.jsonl`, the same with `.<n>.left` for
            rows that an earlier process left, and `<node>.logged.json`.
    """

    def __init__(self, experiment: ExperimentStore, node: str, folder: Path) -> None:
        self._experiment, self._node, self._folder = experiment, node, folder
        self._local = LocalJson(folder / f"{node}.logged.json", Logged)
        self.logged: Logged = self._local.load() or Logged()
        self._writers: dict[Key, SegmentWriter] = {}
        for path in [*self._left(), *sorted(folder.glob(f"{node}.*.jsonl"))]:
            kind: type[StepMetrics | Event] = StepMetrics if path.name.split(".")[2] == "metrics" else Event
            for line in path.read_bytes().split(b"\n")[:-1]:  # the last may be half a row
                with suppress(*UNREADABLE):  # it goes into its segment as it is; readers name it
                    self.logged.take(msgspec.json.decode(line, type=kind))
            if path.suffix == ".jsonl":
                _set_aside(path)

    def append(self, incarnation: str, row: StepMetrics | Event) -> bool:
        """Take a row or an event; False when it was logged before.

        Raises:
            StoreFull: this machine's disk is full or not writable.
        """
        if not self.logged.take(row):
            return False
        key: Key = (incarnation, "metrics" if isinstance(row, StepMetrics) else "events")
        try:
            if key not in self._writers:
                self._writers[key] = self._writer(key, self._folder / f"{self._node}.{'.'.join(key)}.jsonl")
            self._writers[key].append(msgspec.json.encode(row))
        except OSError as error:
            raise StoreFull(
                f"{self._folder} cannot be written: {error}. Free some space on this machine's disk."
            ) from error
        return True

    @property
    def pending(self) -> int:
        """Bytes of the fullest spool; 1 at least while an earlier process's rows wait."""
        waiting = [writer.pending for writer in self._writers.values()]
        return max([*waiting, int(bool(self._left())), 0])

    def close_segments(self) -> None:
        """Write all rows that wait, those of earlier processes first.

        Raises:
            StoreError: a segment could not be written; its rows stay in the spool.
        """
        self._local.save(self.logged)
        for path in self._left():
            _, incarnation, kind, _, _ = path.name.split(".")
            key: Key = (incarnation, "metrics" if kind == "metrics" else "events")
            self._close(key, self._writer(key, path))
            path.unlink()
        for key, writer in self._writers.items():
            self._close(key, writer)

    def _close(self, key: Key, writer: SegmentWriter) -> None:
        """Write what waits, under the number of the last segment or above it: its rows may be these very ones."""
        incarnation, kind = key
        if writer.pending and not writer.next:
            folder = self._experiment.paths.logs_folder(self._node, incarnation)
            names = map(parse_segment_name, self._experiment.store.names(folder))
            writer.next = max([name.n for name in names if name and name.kind == kind], default=0)
        writer.close_segment()

    def _writer(self, key: Key, spool: Path) -> SegmentWriter:
        return SegmentWriter(self._experiment, self._node, *key, spool=spool)

    def _left(self) -> list[Path]:
        """Rows of earlier processes, the oldest first.

        Nothing is added to them, so that a segment of these very rows that is there already is known for theirs.
        """
        found = self._folder.glob(f"{self._node}.*.left")
        return sorted(found, key=lambda path: (path.name.split(".")[1:3], int(path.name.split(".")[3])))


def _set_aside(path: Path) -> None:
    """Rename a spool that an earlier process left; an empty one goes."""
    if not path.stat().st_size:
        path.unlink()
        return
    taken = [int(left.name.split(".")[3]) for left in path.parent.glob(f"{path.stem}.*.left")]
    path.rename(path.with_name(f"{path.stem}.{max(taken, default=-1) + 1}.left"))
