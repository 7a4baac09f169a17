"""Which nodes the folder's `discovery/` announces: fresh, stale or gone, judged by changes.

Needs neither torch nor Ray nor hivemind.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from drive_store import (
    UNREADABLE,
    DiscoveryFolder,
    ExperimentPaths,
    ExperimentStore,
    Liveness,
    NotAFile,
    NotYet,
    Store,
    StoreDenied,
    Valid,
    is_dead,
    newest,
    record_in,
    valid_id,
)
from swarm_ray.records.nodes import PeerRecord, Role
from swarm_ray.records.state import ENDED, StateRecord

Peer = tuple[str, str]


class PeerStats(msgspec.Struct, frozen=True):
    """What a folder's records add up to; the last three count those that are fresh."""

    fresh: int
    stale: int
    """Not changed for the time to live, as far as this reader has seen."""
    left: int
    """Of nodes that have left."""
    unreadable: int
    """Files that hold no record of the node they are named after, or not a whole one."""
    by_role: dict[str, int]
    by_reach: dict[str, int]
    by_experiment: dict[str, int]


class PeerBook:
    """What one process knows of the nodes that announce themselves; safe to use from several threads.

    A record is fresh while its count changes, by this process's own monotonic clock; one that is seen for the first
    time is fresh until `ttl_s` has passed without a change. Every question costs one listing of the folder, and a
    read for each record of a node that has not left.

    Args:
        store: the root.
        ttl_s: a record that has not changed for so many seconds is stale.
        clock: monotonic seconds.
    """

    def __init__(self, store: Store, *, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._folder = store, DiscoveryFolder(store)
        self.ttl_s, self._clock = ttl_s, clock
        self._liveness = Liveness(ttl_s)
        self._records: dict[Peer, PeerRecord] = {}
        self._unreadable: set[Peer] = set()
        self._own: dict[Peer, str] = {}
        self._lock = threading.Lock()

    def claim(self, experiment: str, node: str, incarnation: str) -> None:
        """Take a node for this process's own, in its present incarnation."""
        self._own[experiment, node] = incarnation

    def discover_peers(
        self,
        exclude_self: bool = True,
        max_peers: int | None = None,
        role_filter: Role | None = None,
        experiment: str | None = None,
    ) -> list[PeerRecord]:
        """Fresh records, in the order of `entries`.

        Args:
            exclude_self: leave out this process's own nodes.
            max_peers: answer at most so many.
            role_filter: those of one role only.
            experiment: those of one experiment only.

        Raises:
            StoreError: the folder cannot be read.
        """
        return [
            record
            for record in self.entries()
            if self._is_fresh(record)
            and not (exclude_self and (record.experiment, record.node) in self._own)
            and role_filter in {None, record.role}
            and experiment in {None, record.experiment}
        ][:max_peers]

    def get_peer_info(self, node_or_peer_id: str) -> PeerRecord | None:
        """The record of a node, by its id, its peer id or that of its link; a fresh one before others.

        Raises:
            StoreError: the folder cannot be read.
        """
        return max(
            (r for r in self.entries() if node_or_peer_id in {r.node, r.peer_id, r.via} - {""}),
            key=lambda r: (self._is_fresh(r), not r.left, r.started_at, _order(r)),
            default=None,
        )

    def get_stats(self) -> PeerStats:
        """How many there are, and of which kinds.

        Raises:
            StoreError: the folder cannot be read.
        """
        records = self.entries()
        fresh = [record for record in records if self._is_fresh(record)]
        left = sum(record.left for record in records)
        return PeerStats(
            fresh=len(fresh),
            stale=len(records) - len(fresh) - left,
            left=left,
            unreadable=len(self._unreadable),
            by_role=_counts(record.role for record in fresh),
            by_reach=_counts(record.reach for record in fresh),
            by_experiment=_counts(record.experiment for record in fresh),
        )

    def entries(self) -> list[PeerRecord]:
        """All records, by experiment, node and incarnation; one that is just being rewritten stays what it was.

        Raises:
            StoreError: the folder cannot be read.
        """
        with self._lock:
            readings, now, known = self._folder.read_all(), self._clock(), self._records
            self._records, self._unreadable = {}, set()
            for peer, reading in readings.items():
                record = _record_of(reading) if isinstance(reading, Valid) else None
                if isinstance(reading, NotYet):
                    record = known.get(peer)
                if record is None:
                    self._unreadable.add(peer)
                    continue
                self._records[peer] = record
                self._liveness.observe(_key(record), record.count, now)
                if record.left and isinstance(reading, Valid):
                    self._folder.settle(*peer, reading)
            return sorted(self._records.values(), key=_order)

    def cleanup_stale_entries(self, older_than_s: float) -> list[str]:
        """Remove records that will not be rewritten, and answer whose they were, as `<node>.<incarnation>`.

        A name has one writer, who alone knows whether it continues. So three kinds are removed: those of own nodes'
        earlier incarnations; those whose writer has left; and those that this process has not seen
        change for `older_than_s`, if their experiment has ended, or if the silence has also lasted for the time to
        live, after which the node's heartbeats, which the same process writes, are dead as well. If that process is
        alive after all, its next heartbeat brings the record back.

        Raises:
            StoreError: the folder cannot be read, or not be written.
        """
        ended: dict[str, bool] = {}
        gone = [record for record in self.entries() if self._is_over(record, older_than_s, ended)]
        return [_key(record) for record in gone if self._remove(record)]

    def _is_over(self, record: PeerRecord, older_than_s: float, ended: dict[str, bool]) -> bool:
        present = self._own.get((record.experiment, record.node))
        if record.left or present is not None:
            return present != record.incarnation
        silence = self._liveness.silence(_key(record), self._clock())
        if silence < older_than_s:
            return False
        if is_dead(silence, self.ttl_s):
            return True
        if record.experiment not in ended:
            ended[record.experiment] = self._has_ended(record.experiment)
        return ended[record.experiment]

    def _has_ended(self, experiment: str) -> bool:
        """Whether its newest state record says so; that none is seen proves nothing."""
        entry = newest(ExperimentStore(self._store, ExperimentPaths(experiment)))
        try:
            return entry is not None and msgspec.json.decode(entry.payload, type=StateRecord).state in ENDED
        except UNREADABLE:
            return False

    def _remove(self, record: PeerRecord) -> bool:
        try:
            self._folder.remove(record.node, record.incarnation)
        except (NotAFile, StoreDenied):
            return False  # another program's file, or a folder: left alone
        self._records.pop((record.node, record.incarnation), None)  # a listing may show it for a while yet
        return True

    def _is_fresh(self, record: PeerRecord) -> bool:
        return not record.left and self._liveness.alive(_key(record), self._clock())


def _record_of(reading: Valid) -> PeerRecord | None:
    """What a file says, if it says it of the node and the experiment that its envelope names."""
    record, header = record_in(reading, PeerRecord), reading.header
    if record is None or not valid_id(record.experiment):
        return None
    said = (record.node, record.incarnation, record.experiment)
    return record if said == (header.node, header.incarnation, header.experiment) else None


def _key(record: PeerRecord) -> str:
    return f"{record.node}.{record.incarnation}"


def _order(record: PeerRecord) -> tuple[str, str, str]:
    return record.experiment, record.node, record.incarnation


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
