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
from swarm_ray.discovery import PeerBook
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.machine.local_disk import LocalJson
from swarm_ray.records.nodes import (
    Beat,
    NodeKey,
    NodeTotals,
    PeerRecord,
    Reachable,
    Registration,
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


class Discovery(PeerBook):
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
        super().__init__(self._experiment.store, ttl_s=pace.dead_after_s)
        self._meter, self._logger_use = StoreMeter(self._store), StoreUse()
        self._registry = Registry(self._experiment)
        self._worker, self._pace = worker, pace
        self._config_hash, self._versions = config_hash, versions
        self._local = LocalJson(spool / "heartbeats.json" if spool else None, dict[str, NodeBeat])
        self._beats: dict[str, NodeBeat] = self._local.load() or {}
        self._last_written: dict[str, float] = {}
        self._announced = PeerRecords(
            self._store,
            self._lazy.check,
            self._experiment.name,
            renewal_s(pace),
            LocalJson(spool / "peers.json" if spool else None, dict[str, PeerRecord]),
        )
        self._tidied, self._tidied_every_s = -math.inf, max(TIDIED_EVERY_S, TIDIED_EVERY * pace.dead_after_s)
        for node, kept in self._beats.items():
            self.claim(self._experiment.name, node, kept.incarnation)
        self._beating = threading.Lock()
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
            with self._beating:
                self._beats[member.node] = NodeBeat(
                    member.incarnation, Beat(0, -1, 0, "registered", NodeTotals())
                )
                self._write(member.node)
            self.claim(self._experiment.name, member.node, member.incarnation)
            self._announced.add(member, key.peer_id, (succeeds or {}).get(member.node, ""))
        self._announced.publish()

    def loading(self, former: list[Member]) -> None:
        """Keep the heartbeats of former incarnations alive while their successors load: each call is progress.

        Their last heartbeats are repeated with another phase; those that are done or have failed stay so.
        """
        with self._beating:
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
        self._announced.link(nodes, peer_id, multiaddrs, reach)
        self._announced.publish()

    def report(
        self, beats: list[tuple[str, Beat]], *, published: bool, logger: StoreUse | None = None
    ) -> None:
        """Take heartbeats from trainers; anything new besides progress is written at once.

        Args:
            beats: node ids and heartbeats; the count is set here.
            published: whether each node has just published a file, which counts as a heartbeat.
            logger: store operations of the worker's logger so far, if known.
        """
        with self._beating:
            self._logger_use = logger or self._logger_use
            for node, beat in beats:
                known = self._beats.get(node)
                if known is None:
                    continue
                before = known.beat
                problem = beat.problem or before.problem  # a reported problem stays
                known.beat = msgspec.structs.replace(beat, count=before.count, problem=problem)
                progressed = msgspec.structs.replace(before, progress=beat.progress)
                if published:
                    self._last_written[node] = time.monotonic()
                if beat.done or beat.problem or (not published and known.beat != progressed):
                    self._write(node)
                if beat.done or beat.problem:
                    self._announced.leave([node])

    def run(self) -> None:
        """Send heartbeats for nodes quiet for `pace.beat_s`, and renew discovery records, until `stop`.

        An unreachable folder is retried forever; `problem` says so.
        """
        while not self._stop.wait(self._pace.beat_s / 4):
            self._beat()
            self._announced.publish()
            if time.monotonic() - self._tidied >= self._tidied_every_s:
                self._tidied = time.monotonic()
                with suppress(StoreError):  # heartbeats fail too on such a folder, and report it
                    self.cleanup_stale_entries(self._tidied_every_s)
        self._announced.leave()
        self._announced.publish()

    def fail(self, problem: str) -> None:
        """Report every node that is not done as failed, with the reason."""
        with self._beating:
            failed = [
                (node, msgspec.structs.replace(kept.beat, problem=problem))
                for node, kept in self._beats.items()
                if not (kept.beat.done or kept.beat.problem)
            ]
        self.report(failed, published=False)

    def folder_problem(self) -> str:
        """Why the last heartbeat or record did not reach the folder; empty when it did."""
        return self.problem or self._announced.problem

    def stop(self) -> None:
        """End `run`; harmless when repeated."""
        self._stop.set()

    def flush(self) -> None:
        """Return when every pending heartbeat is in the folder.

        Raises:
            StoreUnavailable: a heartbeat could not be written.
        """
        with self._beating:
            for node, kept in self._beats.items():
                if kept.pending:
                    self._write(node)
            pending = [node for node, kept in self._beats.items() if kept.pending]
        if pending:
            raise StoreUnavailable(
                f"the heartbeat of {', '.join(pending)} could not be written: {self.problem}"
            )

    def _beat(self) -> None:
        """Send a heartbeat for every node that has been quiet long enough."""
        now = time.monotonic()
        with self._beating:
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
            found = record_in(self._registry.registration(member.node, member.incarnation), Registration)
            if found is not None and found.worker != self._worker:
                raise

    def _write(self, node: str) -> None:
        """Write a heartbeat; its count is saved first, so that it also grows across restarts."""
        kept = self._beats[node]
        kept.beat = msgspec.structs.replace(kept.beat, count=kept.beat.count + 1)
        kept.pending = True
        try:
            self._local.save(self._beats)
            beat = kept.beat
            if node == min(self._beats):  # it counts the store operations of discovery and the logger too
                beat = msgspec.structs.replace(
                    beat, store=add_use(beat.store, self._logger_use, self._meter.total())
                )
            self._registry.write_beat(node, kept.incarnation, beat.count, msgspec.json.encode(beat))
        except StoreError as error:
            self.problem = str(error)
            return
        self.problem, kept.pending = "", False
        self._last_written[node] = time.monotonic()
