"""Discovery records of a process's nodes in `discovery/`, by which peers of any experiment find them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

import msgspec

from drive_store import DiscoveryFolder, Store, StoreError
from swarm_ray.config.schema import PaceConfig
from swarm_ray.machine.local_disk import LocalJson
from swarm_ray.records.nodes import MAX_MULTIADDRS, PeerRecord, Reachable, Role
from swarm_ray.records.state import Member

RENEWALS = 3
"""Renewals of a live node's record before readers would consider it stale."""


def renewal_s(pace: PaceConfig) -> float:
    """Seconds between two records of a node: as rare as `pace.dead_after_s` allows, and at most once per heartbeat."""
    return max(pace.beat_s, pace.dead_after_s / RENEWALS)


class PeerRecords:
    """Writes and renews one record per node while the node takes part, and a final one when it leaves.

    Records are kept on this machine's disk, so that a restart continues them.

    Args:
        store: the root.
        check: makes sure that the folder has not been replaced; raises a `StoreError`.
        experiment: to which the nodes belong.
        every_s: seconds between two records of a node.
        local: keeps the records on this machine.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        store: Store,
        check: Callable[[], None],
        experiment: str,
        every_s: float,
        local: LocalJson,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._check, self._experiment = DiscoveryFolder(store), check, experiment
        self._every_s, self._local, self._clock = every_s, local, clock
        self._records: dict[str, PeerRecord] = local.load() or {}
        self._written: dict[str, float] = {}
        self._pending: set[str] = set(self._records)
        self._removed: list[tuple[str, str]] = []
        self._lock, self._publishing = threading.Lock(), threading.Lock()
        self.problem = ""
        """Why the last record did not reach the folder; empty when it did."""

    def add(self, member: Member, peer_id: str, succeeds: str, role: Role = "trainer") -> None:
        """Add a node; harmless when repeated.

        Args:
            member: with its incarnation, which takes the place of an earlier one.
            peer_id: of its identity; empty without one.
            succeeds: the incarnation that it continues, whose record is removed; empty for a first one.
            role: what it is in the swarm.
        """
        with self._lock:
            known = self._records.get(member.node)
            if known is not None and known.incarnation == member.incarnation:
                return
            before = {succeeds, known.incarnation if known else ""} - {"", member.incarnation}
            self._removed += [(member.node, incarnation) for incarnation in sorted(before)]
            self._records[member.node] = PeerRecord(
                member.node,
                member.incarnation,
                self._experiment,
                peer_id,
                role,
                started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            self._pending.add(member.node)

    def link(self, nodes: Sequence[str], via: str, multiaddrs: Sequence[str], reach: Reachable) -> None:
        """Set how nodes are reached directly; written with the next `publish`.

        Args:
            nodes: ids; those that were not added are skipped.
            via: the peer id of their link.
            multiaddrs: under which it is dialled; the first `MAX_MULTIADDRS` are published.
            reach: from where.
        """
        with self._lock:
            for node in nodes:
                if (known := self._records.get(node)) is not None:
                    said = msgspec.structs.replace(
                        known, via=via, multiaddrs=tuple(multiaddrs[:MAX_MULTIADDRS]), reach=reach
                    )
                    if said != known:
                        self._records[node] = said
                        self._pending.add(node)

    def leave(self, nodes: Collection[str] | None = None) -> None:
        """Make the next record of nodes their final one, without addresses; None for all nodes."""
        with self._lock:
            for node, known in self._records.items():
                if not known.left and (nodes is None or node in nodes):
                    self._records[node] = msgspec.structs.replace(
                        known, via="", multiaddrs=(), reach="none", left=True
                    )
                    self._pending.add(node)

    def publish(self) -> None:
        """Write records that are due or changed, and remove those of former incarnations.

        An unreachable folder does not raise: `problem` says so, and the next call retries.
        """
        with self._publishing:
            due = self._due()
            if not due:
                return
            try:
                self._check()
                self._local.save(self._records)
                for record in due:
                    self._folder.write(
                        record.experiment,
                        record.node,
                        record.incarnation,
                        record.count,
                        msgspec.json.encode(record),
                    )
                    with self._lock:
                        self._written[record.node] = self._clock()
                        if self._records[record.node] == record:
                            self._pending.discard(record.node)
                while self._removed:
                    gone = self._removed[-1]
                    self._folder.remove(*gone)
                    self._removed.remove(gone)
            except StoreError as error:
                self.problem = str(error)
                return
            self.problem = ""

    def _due(self) -> list[PeerRecord]:
        """The record to write, with its count, which is saved first, so that it also grows across restarts."""
        now = self._clock()
        with self._lock:
            nodes = [
                node
                for node, record in self._records.items()
                if node in self._pending
                or (not record.left and now - self._written.get(node, 0.0) >= self._every_s)
            ]
            for node in nodes:
                record = self._records[node]
                self._records[node] = msgspec.structs.replace(record, count=record.count + 1)
                self._pending.add(node)
            return [self._records[node] for node in nodes]
