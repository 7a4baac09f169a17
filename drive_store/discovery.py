"""Where nodes find each other: one small record for each, rewritten in place like a beat.

The folder lies beside the experiments and serves them all, so a record tells its experiment itself. Nothing depends
on it: one that was removed although its writer lives is there again with the writer's next sign of life.
"""

from __future__ import annotations

from collections.abc import Iterator

from drive_store.envelope import Header, seal_json
from drive_store.envelope_reading import Reading, Valid, read_envelope
from drive_store.errors import FolderMissing
from drive_store.names import PeerName, parse_discovery_name, twin_name
from drive_store.paths import DISCOVERY, discovery_record
from drive_store.store.store import Store

KIND = "discovery"
MAX_RECORD = 1 << 13
"""The most bytes a record's payload may have."""
MAX_RECORDS = 1000
"""So many names are looked at: no folder of ours has more entries."""
_MAX_TWIN = 2

Peer = tuple[str, str]
"""A node's id and its incarnation."""


class DiscoveryFolder:
    """The records of all nodes of all experiments of a root.

    Args:
        store: the root.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._settled: dict[Peer, Valid] = {}

    def write(self, experiment: str, node: str, incarnation: str, count: int, payload: bytes) -> None:
        """Give a sign of life, over the one before.

        Args:
            experiment: to which the node belongs.
            node: its id.
            incarnation: its process life.
            count: grows with each record.
            payload: one JSON value of at most `MAX_RECORD` bytes, without white space around it.

        Raises:
            StoreError: the record could not be written.
        """
        if len(payload) > MAX_RECORD:
            raise ValueError(f"a discovery record of {len(payload)} bytes; {MAX_RECORD} are allowed")
        header = Header(kind=KIND, experiment=experiment, node=node, incarnation=incarnation, sequence=count)
        key, data = discovery_record(node, incarnation), seal_json(header, payload)
        try:
            self._store.replace_copy(key, data)
        except FolderMissing:
            # The coordinator makes it with its experiment; roots from before there was discovery have none.
            self._store.make_folder(DISCOVERY)
            self._store.replace_copy(key, data)

    def read_all(self) -> dict[Peer, Reading]:
        """Read what nodes say of themselves: (node, incarnation) to the reading of its file.

        Costs one listing, and a read for each file that is not settled. Of twins the one with the higher count
        speaks: both were rewritten once.

        Raises:
            StoreError: the store itself cannot be read.
        """
        found: dict[Peer, Reading] = {}
        for name in self._names():
            peer = (name.node, name.incarnation)
            found[peer] = self._settled.get(peer) or _newer(found.get(peer), self._read(name))
        return found

    def settle(self, node: str, incarnation: str, last: Valid) -> None:
        """Take a record for its writer's last one: while its name is listed it is answered and not read again."""
        self._settled[node, incarnation] = last

    def age(self, node: str, incarnation: str, now: float) -> float | None:
        """Seconds since a record was written, by wall clocks and so for people only; None where it is not seen.

        Args:
            node: its id.
            incarnation: its process life.
            now: seconds since 1970.

        Raises:
            StoreError: the store itself cannot be read.
        """
        modified = self._store.modified(discovery_record(node, incarnation))
        return None if modified is None else max(0.0, now - modified)

    def remove(self, node: str, incarnation: str) -> None:
        """Remove a record with its twins; one that is gone already is fine.

        Raises:
            StoreError: it could not be removed.
        """
        key = discovery_record(node, incarnation)
        for twin in range(_MAX_TWIN + 1):
            self._store.remove(twin_name(key, twin))

    def _names(self) -> Iterator[PeerName]:
        parsed = [parse_discovery_name(text) for text in self._store.names(DISCOVERY)]
        names = [name for name in parsed if name is not None and name.twin <= _MAX_TWIN]
        yield from names[:MAX_RECORDS]

    def _read(self, name: PeerName) -> Reading:
        return read_envelope(
            self._store,
            twin_name(discovery_record(name.node, name.incarnation), name.twin),
            kind=KIND,
            experiment=None,
            node=name.node,
            incarnation=name.incarnation,
            max_payload=MAX_RECORD,
        )


def _newer(known: Reading | None, found: Reading) -> Reading:
    """Of two readings of one node's record, the valid one with the higher count."""
    if not isinstance(known, Valid):
        return found
    if isinstance(found, Valid) and found.header.sequence > known.header.sequence:
        return found
    return known
