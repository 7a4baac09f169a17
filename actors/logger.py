"""The logger: a worker's metrics and events, spooled on its own disk and written as closed segments."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
import psutil

from drive_store import NameTaken, SegmentWriter, StoreError
from swarm_ray.config import LogConfig
from swarm_ray.experiment_folder import ExperimentAddress
from swarm_ray.records import Evaluation, Event, Member, StepMetrics

Kind = Literal["metrics", "events"]


@dataclass(frozen=True)
class Progress:
    """What a display needs of a worker."""

    rows: tuple[StepMetrics, ...]
    """The latest row of each node."""
    seconds: dict[str, float]
    """Sum over nodes and rounds so far, per phase."""
    rewards: tuple[float, ...]
    """Mean own reward of this worker's nodes, for every round they took part in."""
    used: int
    """External rollouts used so far."""
    events: tuple[Event, ...]
    """The last few."""


class RunLogger:
    """Takes rows from the trainers and writes them, a node's rows into the node's own folder.

    Args:
        address: the experiment.
        config: when a segment is closed.
        spool: a folder on this machine's own disk.
        versions: of Python and the packages that matter.
    """

    def __init__(
        self, address: ExperimentAddress, config: LogConfig, spool: Path, versions: dict[str, str]
    ) -> None:
        self._store, self._paths, self._config = address.open(), address.paths, config
        self._spool, self._versions = spool, versions
        self._writers: dict[tuple[str, Kind], SegmentWriter] = {}
        self._closed_at: dict[tuple[str, Kind], float] = {}
        self._incarnations: dict[str, str] = {}
        self._latest: dict[str, StepMetrics] = {}
        self._seconds: dict[str, float] = {}
        self._rewards: dict[int, list[float]] = {}
        self._used = 0
        self._events: list[Event] = []
        self._lock = threading.Lock()

    def open_logs(self, nodes: Sequence[Member]) -> None:
        """Begin the logs of `nodes`, whose folders exist, with what machine this is."""
        self._spool.mkdir(parents=True, exist_ok=True)
        info = msgspec.json.format(msgspec.json.encode(system_info(self._versions)), indent=1)
        self._store.check()
        with self._lock:
            for member in nodes:
                self._incarnations[member.node] = member.incarnation
                try:
                    self._store.create(self._paths.system_info(member.node, member.incarnation), info + b"\n")
                except NameTaken:
                    continue

    def log_metrics(self, rows: Sequence[StepMetrics]) -> None:
        """Append rows; segments that are due are closed."""
        with self._lock:
            for row in rows:
                self._append(row.node, "metrics", msgspec.json.encode(row))
                self._latest[row.node] = row
                self._rewards.setdefault(row.round, []).append(row.reward)
                self._used += row.counters.used
                for phase, seconds in row.seconds.items():
                    self._seconds[phase] = self._seconds.get(phase, 0.0) + seconds
            self._close_due()

    def log_events(self, events: Sequence[Event]) -> None:
        """Append events to the logs of the nodes that they name."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._lock:
            for event in events:
                stamped = msgspec.structs.replace(event, at=at)
                self._append(event.node, "events", msgspec.json.encode(stamped))
                self._events = [*self._events[-19:], stamped]

    def log_evaluations(self, evaluations: Sequence[Evaluation]) -> None:
        """Append held-out results as events with the figures in them."""
        texts = [msgspec.json.encode(e).decode() for e in evaluations]
        self.log_events(
            [Event("evaluation", t, node=e.node) for e, t in zip(evaluations, texts, strict=True)]
        )

    def progress(self) -> Progress:
        """The latest row of each node, and sums."""
        with self._lock:
            rewards = tuple(sum(found) / len(found) for _, found in sorted(self._rewards.items()))
            return Progress(
                tuple(self._latest.values()), dict(self._seconds), rewards, self._used, tuple(self._events)
            )

    def flush(self) -> None:
        """Close every segment that holds rows.

        Raises:
            StoreError: a segment could not be written; its rows stay in the spool.
        """
        with self._lock:
            self._store.check()
            for writer in self._writers.values():
                if writer.pending:
                    writer.close_segment()

    def _append(self, node: str, kind: Kind, row: bytes) -> None:
        key = (node, kind)
        if key not in self._writers:
            incarnation = self._incarnations[node]
            spool = self._spool / f"{node}.{incarnation}.{kind}.jsonl"
            self._writers[key] = SegmentWriter(self._store, self._paths, node, incarnation, kind, spool=spool)
            self._closed_at[key] = time.monotonic()
        self._writers[key].append(row)

    def _close_due(self) -> None:
        """Close what is old or large; a folder that cannot be written now is tried again with the next rows."""
        now = time.monotonic()
        for key, writer in self._writers.items():
            old = writer.pending and now - self._closed_at[key] >= self._config.segment_s
            if old or writer.pending >= self._config.segment_bytes:
                self._closed_at[key] = now
                try:
                    self._store.check()
                    writer.close_segment()
                except StoreError as error:
                    self._events.append(Event("store", str(error), node=key[0]))


def system_info(versions: dict[str, str]) -> dict[str, object]:
    """What machine this is, for people: no names of users or hosts."""
    memory = psutil.virtual_memory()
    return {
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": psutil.cpu_count(logical=True),
        "memory_bytes": memory.total,
        "versions": versions,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
