"""The logger: a worker's metrics and events, spooled on its own disk and written as closed segments."""

from __future__ import annotations

import platform
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

import msgspec
import psutil

from actors.logger.log_spool import LogSpool
from actors.store_meter import LazyStore, StoreMeter
from drive_store import NameTaken, StoreError
from swarm_ray.config.schema import LogConfig
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.machine.local_disk import LocalJson
from swarm_ray.records.metrics import Evaluation, Event, LoggerProgress, StepMetrics
from swarm_ray.records.nodes import StoreUse
from swarm_ray.records.state import Member
from swarm_ray.tracking.tracker import Tracker, TrackerFeed, TrackerFiles, tracked_evaluation, tracked_row

TRACKERS_WITHIN_S = 45.0
"""Seconds that trackers may take to finish; the driver may end the logger sooner."""


class RunLogger:
    """Takes rows from the trainers and writes them, a node's rows into the node's own folder.

    Rows may be sent again after a restart; each is logged once. An unwritable folder raises nothing:
    rows wait in the spool, and `progress` says why.

    Args:
        address: the experiment.
        config: when a segment is closed.
        spool: a folder on this machine's own disk, this worker's alone; what earlier processes left there is
            written as theirs.
        versions: of Python and the packages that matter.
        trackers: makes those that follow the rows too, on files of theirs; None for none.
    """

    def __init__(
        self,
        address: ExperimentAddress,
        config: LogConfig,
        spool: Path,
        versions: dict[str, str],
        trackers: Callable[[TrackerFiles], Sequence[Tracker]] | None = None,
    ) -> None:
        self._lazy, self._config = LazyStore(address), config
        self._experiment = self._lazy.experiment
        self._meter = StoreMeter(self._experiment.store)
        self._folder, self._versions = spool, versions
        self._local = LocalJson(spool / "incarnations.json", dict[str, str])
        self._incarnations: dict[str, str] = self._local.load() or {}
        left = {path.name.split(".")[0] for path in spool.glob("*.*.*")}
        self._spools: dict[str, LogSpool] = {}
        self._closed_at: dict[str, float] = {}
        self._latest: dict[str, StepMetrics] = {}
        self._events: list[Event] = []
        self._resumed: dict[str, str] = {}
        self._problem = self._remark = ""
        self._lock = threading.Lock()
        self._files = TrackerFiles(self._experiment, spool / "trackers")
        for node in sorted({*self._incarnations, *left}):
            spool_of_node = self._open_spool(node)
            if spool_of_node.pending:
                self._try_to_close(node, spool_of_node, time.monotonic())
        self._copy_tracked()
        self._feed = TrackerFeed(trackers(self._files) if trackers else (), self._tell_tracker)

    def open_logs(self, nodes: Sequence[Member]) -> None:
        """Begin the logs of `nodes`, whose folders exist, with what machine this is; harmless when repeated.

        A new incarnation of a node takes the place of the one before.

        Raises:
            StoreError: the folder cannot be written.
        """
        info = msgspec.json.format(msgspec.json.encode(system_info(self._versions)), indent=1)
        self._lazy.check()
        with self._lock:
            for member in nodes:
                self._incarnations[member.node] = member.incarnation
                self._open_spool(member.node)
                key = self._experiment.paths.system_info(member.node, member.incarnation)
                with suppress(NameTaken):
                    self._experiment.store.create(key, info + b"\n")
            self._local.save(self._incarnations)

    def log_metrics(self, rows: Sequence[StepMetrics]) -> StoreUse:
        """Append rows; segments that are due are closed.

        Returns:
            The logger's store operations so far.

        Raises:
            StoreFull: this machine's disk is full or not writable.
        """
        with self._lock:
            for row in rows:
                if self._open_spool(row.node).append(row.incarnation, row):
                    self._latest[row.node] = row
                    self._feed.log(tracked_row(row))
            self._close_due()
            return self._meter.total()

    def log_events(self, events: Sequence[Event]) -> None:
        """Append events to the logs of the nodes that they name; those of no node go to the first node's.

        Raises:
            StoreFull: this machine's disk is full or not writable.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._lock:
            for event in events:
                stamped = msgspec.structs.replace(event, at=event.at or at)
                node = event.node or min(self._incarnations, default="")
                incarnation = self._incarnations.get(node)
                if incarnation is None or self._spools[node].append(incarnation, stamped):
                    self._events = [*self._events[-19:], stamped]
                    if event.kind == "resumed" and event.node:
                        self._resumed[event.node] = event.text
                    self._track(stamped, incarnation)
            self._close_due()

    def progress(self) -> LoggerProgress:
        """The latest row of each node, and sums."""
        with self._lock:
            logged = [spool.logged for spool in self._spools.values()]
            seconds: defaultdict[str, float] = defaultdict(float)
            rewards: defaultdict[int, list[float]] = defaultdict(list)
            for one in logged:
                for phase, spent in one.seconds.items():
                    seconds[phase] += spent
                for number, reward in one.rewards.items():
                    rewards[number].append(reward)
            return LoggerProgress(
                rows=tuple(self._latest.values()),
                seconds=dict(seconds),
                rewards=tuple(fmean(found) for _, found in sorted(rewards.items())),
                used=sum(one.used for one in logged),
                events=tuple(self._events),
                resumed=dict(self._resumed),
                problem=self._problem,
                remark=self._remark,
            )

    def flush(self) -> StoreUse:
        """Close every segment that holds rows.

        Returns:
            The logger's store operations so far.

        Raises:
            StoreError: a segment could not be written; its rows stay in the spool.
        """
        with self._lock:
            self._lazy.check()
            for spool in self._spools.values():
                if spool.pending:
                    spool.close_segments()
            self._problem = ""
            return self._meter.total()

    def close(self) -> None:
        """Write what waits, end the trackers, and copy what they wrote; harmless when repeated.

        Raises:
            StoreError: rows could not be written; they stay in the spool, and the trackers' files where they are.
        """
        try:
            self.flush()
        finally:
            if not self._feed.close(TRACKERS_WITHIN_S):
                self._tell_tracker(
                    f"trackers had not ended after {TRACKERS_WITHIN_S:g} s; the next start continues"
                )
            else:
                self._copy_tracked()
        self.flush()

    def _track(self, event: Event, incarnation: str | None) -> None:
        """Give trackers the figures in an event, at the node's last step."""
        if event.kind == "evaluation" and incarnation is not None:
            found = msgspec.json.decode(event.text, type=Evaluation)
            steps = self._spools[event.node].logged.steps
            self._feed.log(tracked_evaluation(found, incarnation, max(steps, default=0)))

    def _copy_tracked(self) -> None:
        """Copy the trackers' files to the folder; what fails waits for the end or the next start."""
        try:
            if self._files.waiting:
                self._lazy.check()
                self._files.copy_all()
        except StoreError as error:
            self._tell_tracker(f"what trackers wrote waits on this machine's disk: {error}")

    def _tell_tracker(self, text: str) -> None:
        """Report a tracker's problem on the display and in the log of the first node."""
        self._remark = text
        with suppress(StoreError):  # this machine's disk is full, which the next row reports
            self.log_events([Event("tracker", text)])

    def _open_spool(self, node: str) -> LogSpool:
        if node not in self._spools:
            self._spools[node] = LogSpool(self._experiment, node, self._folder)
        return self._spools[node]

    def _close_due(self) -> None:
        """Close old or large segments; an unwritable folder is retried with later rows."""
        now = time.monotonic()
        for node, spool in self._spools.items():
            old = now - self._closed_at.setdefault(node, now) >= self._config.segment_s
            if (spool.pending and old) or spool.pending >= self._config.segment_bytes:
                self._try_to_close(node, spool, now)

    def _try_to_close(self, node: str, spool: LogSpool, now: float) -> None:
        self._closed_at[node] = now
        try:
            self._lazy.check()
            spool.close_segments()
        except StoreError as error:
            if not self._problem:
                self._events = [*self._events[-19:], Event("store", str(error), node=node)]
            self._problem = str(error)
        else:
            self._problem = ""


def evaluation_events(evaluations: Sequence[Evaluation]) -> list[Event]:
    """Held-out results as events with the figures in them."""
    return [Event("evaluation", msgspec.json.encode(e).decode(), node=e.node) for e in evaluations]


def system_info(versions: dict[str, str]) -> dict[str, object]:
    """A description of this machine, without names of users or hosts."""
    memory = psutil.virtual_memory()
    return {
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": psutil.cpu_count(logical=True),
        "memory_bytes": memory.total,
        "versions": versions,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
