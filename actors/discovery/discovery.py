"""Discovery: registers a worker's nodes, writes their heartbeats, and finds peers."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from actors.discovery.peer_records import PeerRecords, renewal_s
from actors.store_meter import LazyStore, StoreMeter, add_use
from drive_store import (
    NameTaken,
    Registry,
    StoreError,
    StoreUnavailable,
    make_node_folders,
    record_in,
)
from swarm_ray.config.schema import PaceConfig
from swarm_ray.discovery import PeerBook, PeerStats
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.machine.local_disk import LocalJson
from swarm_ray.records.nodes import (
    Beat,
    NodeKey,
    NodeTotals,
    PeerRecord,
    Reachable,
    Registration,
    Role,
    StoreUse,
)
from swarm_ray.records.state import Member

TIDIED_EVERY = 10
"""Stale records are cleaned up every so many times `pace.dead_after_s`."""
TIDIED_EVERY_S = 600.0
"""And no more often than this."""


class NodeBeat(msgspec.Struct):
    """The latest heartbeat of a node; kept on this machine's disk."""

    incarnation: str
    beat: Beat
    pending: bool = True
    """The heartbeat has not reached the folder yet and is retried."""


class Discovery:
    """Announces the worker's nodes in `peers/` and `discovery/`, and finds those of other workers.

    Heartbeats are written from here, so that a node is not silent during a long computation. They are kept on this
    machine's disk too, so that they continue after a restart.

    Args:
        address: the experiment.
        worker: the worker's id.
        pace: how often to send heartbeats.
        config_hash: of this worker's swarm-wide settings.
        versions: of Python and the packages that matter.
        spool: a folder on this machine's own disk; None keeps nothing.
    """

    def __init__(
        self,
        address: ExperimentAddress,
        worker: str,
        pace: PaceConfig,
        config_hash: str,
        versions: dict[str, str],
        spool: Path | None = None,
    ) -> None:
        self._lazy = LazyStore(address)
        self._experiment = self._lazy.experiment
        self._store = self._experiment.store
        self._meter, self._logger_use = StoreMeter(self._store), StoreUse()
        self._registry = Registry(self._experiment)
        self._worker, self._pace = worker, pace
        self._config_hash, self._versions = config_hash, versions
        self._local = LocalJson(spool / "heartbeats.json" if spool else None, dict[str, NodeBeat])
        self._beats: dict[str, NodeBeat] = self._local.load() or {}
        self._last_written: dict[str, float] = {}
        local = LocalJson(spool / "peers.json" if spool else None, dict[str, PeerRecord])
        self._records = PeerRecords(
            self._store, self._lazy.check, self._experiment.name, renewal_s(pace), local
        )
        self._book = PeerBook(self._store, ttl_s=pace.dead_after_s)
        self._tidied, self._tidied_every_s = -math.inf, max(TIDIED_EVERY_S, TIDIED_EVERY * pace.dead_after_s)
        for node, kept in self._beats.items():
            self._book.claim(self._experiment.name, node, kept.incarnation)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.problem = ""
        """Why the last write did not reach the folder; empty when it did."""

    def register(
        self,
        nodes: list[Member],
        succeeds: dict[str, str] | None = None,
        keys: dict[str, NodeKey] | None = None,
    ) -> None:
        """Make each node's folders, register it and write its first heartbeat; harmless when repeated.

        Args:
            nodes: with their incarnations; a new incarnation takes the place of an earlier one.
            succeeds: node ids to the incarnations that they continue.
            keys: node ids to what others may know of their identities.

        Raises:
            StoreError: the folder cannot be written.
        """
        self._lazy.check()
        for member in nodes:
            known = self._beats.get(member.node)
            if known and known.incarnation == member.incarnation and not known.pending:
                continue
            make_node_folders(self._experiment, member.node, member.incarnation)
            key = (keys or {}).get(member.node, NodeKey("", ""))
            self._announce(member, (succeeds or {}).get(member.node, ""), key)
            first = Beat(0, -1, 0, "registered", NodeTotals())
            with self._lock:
                self._beats[member.node] = NodeBeat(member.incarnation, first)
                self._write(member.node)
            self._book.claim(self._experiment.name, member.node, member.incarnation)
            self._records.add(member, key.peer_id, (succeeds or {}).get(member.node, ""))
        self._records.publish()

    def loading(self, former: list[Member]) -> None:
        """Keep the heartbeats of former incarnations alive while their successors load: each call is progress.

        Their last heartbeats are repeated with another phase; those that are done or have failed stay so.
        """
        with self._lock:
            for member in former:
                kept = self._beats.get(member.node) or self._last_beat(member)
                if kept is None or kept.incarnation != member.incarnation:
                    continue
                if not (kept.beat.done or kept.beat.problem):
                    beat = msgspec.structs.replace(
                        kept.beat, phase="loading", progress=kept.beat.progress + 1
                    )
                    self._beats[member.node] = NodeBeat(member.incarnation, beat, kept.pending)

    def _last_beat(self, member: Member) -> NodeBeat | None:
        """A node's last heartbeat by an earlier process; None if unreadable."""
        try:
            beat = record_in(self._registry.read_beat(member.node, member.incarnation), Beat)
        except StoreError:
            return None
        return NodeBeat(member.incarnation, beat) if beat is not None else None

    def announce_links(
        self, nodes: Sequence[str], peer_id: str, multiaddrs: Sequence[str], reach: Reachable
    ) -> None:
        """Announce how this worker's nodes are reached directly from now on.

        Args:
            nodes: ids.
            peer_id: of the link that carries them.
            multiaddrs: under which the link is dialled; empty if files carry everything.
            reach: from where.
        """
        self._records.link(nodes, peer_id, multiaddrs, reach)
        self._records.publish()

    def report(
        self, beats: list[tuple[str, Beat]], *, published: bool, logger: StoreUse | None = None
    ) -> None:
        """Take heartbeats from trainers; anything new besides progress is written at once.

        Args:
            beats: node ids and heartbeats; the count is set here.
            published: whether each node has just published a file, which counts as a heartbeat.
            logger: store operations of the worker's logger so far, if known.
        """
        with self._lock:
            self._logger_use = logger or self._logger_use
            for node, beat in beats:
                known = self._beats.get(node)
                if known is None:
                    continue
                problem = beat.problem or known.beat.problem  # a reported problem stays
                before = known.beat
                known.beat = msgspec.structs.replace(beat, count=before.count, problem=problem)
                if published:
                    self._last_written[node] = time.monotonic()
                if beat.done or beat.problem or (not published and _differs(before, known.beat)):
                    self._write(node)
                if beat.done or beat.problem:
                    self._records.leave([node])

    def run(self) -> None:
        """Send heartbeats for nodes quiet for `pace.beat_s`, and renew discovery records, until `stop`.

        An unreachable folder is retried forever; `problem` says so.
        """
        while not self._stop.wait(self._pace.beat_s / 4):
            self._beat()
            self._records.publish()
            self._tidy()
        self._records.leave()
        self._records.publish()

    def fail(self, problem: str) -> None:
        """Report every node that is not done as failed, with the reason."""
        with self._lock:
            beats = [(node, kept.beat) for node, kept in self._beats.items()]
        unfinished = [(n, b) for n, b in beats if not (b.done or b.problem)]
        self.report(
            [(n, msgspec.structs.replace(b, problem=problem)) for n, b in unfinished], published=False
        )

    def folder_problem(self) -> str:
        """Why the last heartbeat or record did not reach the folder; empty when it did."""
        return self.problem or self._records.problem

    def stop(self) -> None:
        """End `run`; harmless when repeated."""
        self._stop.set()

    def flush(self) -> None:
        """Return when every pending heartbeat is in the folder.

        Raises:
            StoreUnavailable: a heartbeat could not be written.
        """
        with self._lock:
            for node, kept in self._beats.items():
                if kept.pending:
                    self._write(node)
            pending = [node for node, kept in self._beats.items() if kept.pending]
        if pending:
            raise StoreUnavailable(
                f"the heartbeat of {', '.join(pending)} could not be written: {self.problem}"
            )

    def discover_peers(
        self,
        exclude_self: bool = True,
        max_peers: int | None = None,
        role_filter: Role | None = None,
        experiment: str | None = None,
    ) -> list[PeerRecord]:
        """Peers, without this worker's own nodes unless asked for; see `PeerBook.discover_peers`."""
        return self._book.discover_peers(exclude_self, max_peers, role_filter, experiment)

    def get_peer_info(self, node_or_peer_id: str) -> PeerRecord | None:
        """See `PeerBook.get_peer_info`."""
        return self._book.get_peer_info(node_or_peer_id)

    def get_stats(self) -> PeerStats:
        """See `PeerBook.get_stats`."""
        return self._book.get_stats()

    def cleanup_stale_entries(self, older_than_s: float) -> list[str]:
        """See `PeerBook.cleanup_stale_entries`."""
        return self._book.cleanup_stale_entries(older_than_s)

    def _tidy(self) -> None:
        """Remove stale records from time to time."""
        now = time.monotonic()
        if now - self._tidied >= self._tidied_every_s:
            self._tidied = now
            with suppress(StoreError):  # heartbeats fail too on such a folder, and report it
                self._book.cleanup_stale_entries(self._tidied_every_s)

    def _beat(self) -> None:
        """Send a heartbeat for every node that has been quiet long enough."""
        now = time.monotonic()
        with self._lock:
            for node, kept in list(self._beats.items()):
                quiet = now - self._last_written.get(node, 0.0)
                ended = kept.beat.done or kept.beat.problem
                if kept.pending or (quiet >= self._pace.beat_s and not ended):
                    self._write(node)

    def _announce(self, member: Member, succeeds: str, key: NodeKey) -> None:
        """Register; an existing registration must be our own, made before a restart."""
        registration = Registration(
            node=member.node,
            incarnation=member.incarnation,
            worker=self._worker,
            config_hash=self._config_hash,
            versions=self._versions,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            public_key=key.public_key,
            peer_id=key.peer_id,
            succeeds=succeeds,
        )
        try:
            self._registry.register(member.node, member.incarnation, msgspec.json.encode(registration))
        except NameTaken:
            reading = self._registry.registrations().get((member.node, member.incarnation))
            found = record_in(reading, Registration)
            if found is not None and found.worker != self._worker:
                raise

    def _write(self, node: str) -> None:
        """Write a heartbeat; its count is saved first, so that it also grows across restarts."""
        kept = self._beats[node]
        kept.beat = msgspec.structs.replace(kept.beat, count=kept.beat.count + 1)
        kept.pending = True
        try:
            self._local.save(self._beats)
            payload = msgspec.json.encode(self._with_use(node, kept.beat))
            self._registry.write_beat(node, kept.incarnation, kept.beat.count, payload)
        except StoreError as error:
            self.problem = str(error)
            return
        self.problem, kept.pending = "", False
        self._last_written[node] = time.monotonic()

    def _with_use(self, node: str, beat: Beat) -> Beat:
        """Add store operations of discovery and the logger to the heartbeats of the worker's first node."""
        if node != min(self._beats):
            return beat
        return msgspec.structs.replace(beat, store=add_use(beat.store, self._logger_use, self._meter.total()))


def _differs(before: Beat, after: Beat) -> bool:
    """Whether more than the trainer's progress has changed."""
    return msgspec.structs.replace(before, progress=0) != msgspec.structs.replace(after, progress=0)
