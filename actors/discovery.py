"""Discovery: registers a worker's nodes, gives their signs of life, and finds peers."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import msgspec

from drive_store import Registry, Valid, make_node_folders
from swarm_ray.config import PaceConfig
from swarm_ray.experiment_folder import ExperimentAddress
from swarm_ray.records import Beat, Member, NodeTotals, Registration


class Discovery:
    """The worker's voice in `peers/`. Beats are written from here, so that a long computation silences nobody.

    Args:
        address: the experiment.
        worker: the worker's id.
        pace: how often to beat.
        config_hash: of the swarm-wide settings that this worker obeys.
        versions: of Python and the packages that matter.
    """

    def __init__(
        self,
        address: ExperimentAddress,
        worker: str,
        pace: PaceConfig,
        config_hash: str,
        versions: dict[str, str],
    ) -> None:
        self._store, self._paths = address.open(), address.paths
        self._registry = Registry(self._store, self._paths)
        self._worker, self._pace = worker, pace
        self._config_hash, self._versions = config_hash, versions
        self._incarnations: dict[str, str] = {}
        self._beats: dict[str, Beat] = {}
        self._spoken: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def register(self, nodes: list[Member]) -> None:
        """Make each node's folders and announce it, then give its first beat.

        Raises:
            StoreError: the folder cannot be written.
        """
        self._store.check()
        for member in nodes:
            make_node_folders(self._store, self._paths, member.node, member.incarnation)
            registration = Registration(
                node=member.node,
                incarnation=member.incarnation,
                worker=self._worker,
                config_hash=self._config_hash,
                versions=self._versions,
                started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            self._registry.register(member.node, member.incarnation, msgspec.json.encode(registration))
            self._incarnations[member.node] = member.incarnation
            self.report([(member.node, Beat(0, -1, 0, "registered", NodeTotals()))], published=False)

    def report(self, beats: list[tuple[str, Beat]], *, published: bool) -> None:
        """Take note of progress; a problem or the end is written at once.

        Args:
            beats: node ids and what they have to say; the count is set here.
            published: whether each node has just published a file, which is a sign of life in itself.
        """
        with self._lock:
            for node, beat in beats:
                known = self._beats.get(node)
                count = known.count + 1 if known else 0
                problem = beat.problem or (known.problem if known else None)  # once said, it stays
                self._beats[node] = msgspec.structs.replace(beat, count=count, problem=problem)
                if published:
                    self._spoken[node] = time.monotonic()
                if beat.done or beat.problem or not published:
                    self._write(node)

    def run(self) -> None:
        """Beat for every node that has been quiet for `pace.beat_s`, until `stop`."""
        while not self._stop.wait(self._pace.beat_s / 4):
            now = time.monotonic()
            with self._lock:
                for node, beat in list(self._beats.items()):
                    quiet = now - self._spoken.get(node, 0.0)
                    if quiet >= self._pace.beat_s and not (beat.done or beat.problem):
                        self._beats[node] = msgspec.structs.replace(beat, count=beat.count + 1)
                        self._write(node)

    def fail(self, problem: str) -> None:
        """Say of every node that is not done that it is lost, and why."""
        with self._lock:
            unfinished = [(n, b) for n, b in self._beats.items() if not (b.done or b.problem)]
        self.report(
            [(n, msgspec.structs.replace(b, problem=problem)) for n, b in unfinished], published=False
        )

    def stop(self) -> None:
        """End `run`; harmless when repeated."""
        self._stop.set()

    def discover_peers(self, exclude_self: bool = True, max_peers: int | None = None) -> list[Registration]:
        """Registered nodes ordered by id, those of this worker left out unless asked for.

        Raises:
            StoreError: the folder cannot be read.
        """
        found = []
        for reading in self._registry.registrations().values():
            if isinstance(reading, Valid):
                registration = msgspec.json.decode(reading.payload, type=Registration)
                if not (exclude_self and registration.node in self._incarnations):
                    found.append(registration)
        return sorted(found, key=lambda r: (r.node, r.incarnation))[:max_peers]

    def _write(self, node: str) -> None:
        beat = self._beats[node]
        self._registry.write_beat(node, self._incarnations[node], beat.count, msgspec.json.encode(beat))
        self._spoken[node] = time.monotonic()
