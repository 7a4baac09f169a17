"""Small JSON documents: registrations, heartbeats, requests to a coordinator, and records by which nodes are found.

Registrations and requests are written once; heartbeats and discovery records are rewritten in place, and may be met
half written.
"""

from __future__ import annotations

from collections.abc import Iterator

from drive_store.envelope import Expected, Header, NotYet, Reading, Valid, read_envelope, seal_json
from drive_store.errors import FolderMissing
from drive_store.experiment_store import ExperimentStore
from drive_store.names import (
    PeerName,
    new_incarnation,
    parse_registration_name,
    parse_request_name,
    twin_name,
)
from drive_store.paths import DISCOVERY, discovery_record
from drive_store.store.store import Store

REGISTRATION, BEAT, REQUEST, DISCOVERY_RECORD = "registration", "beat", "request", "discovery"
MAX_REGISTRATION = 1 << 16
"""The most bytes a registration's payload may have."""
MAX_BEAT = 1 << 16
"""The most bytes a heartbeat's payload may have."""
MAX_REQUEST = 1 << 16
"""The most bytes a request's payload may have."""
MAX_RECORD = 1 << 13
"""The most bytes a discovery record's payload may have."""
MAX_RECORDS = 1000
"""So many names are looked at: no folder of ours has more entries."""
_MAX_TWIN = 2

Peer = tuple[str, str]
"""A node's id and its incarnation."""


class Registry:
    """The registrations and beats of an experiment; one listing shows all, and each is read once."""

    def __init__(self, experiment: ExperimentStore) -> None:
        self._store, self._paths = experiment.store, experiment.paths
        self._known: dict[str, Valid] = {}

    def register(self, node: str, incarnation: str, payload: bytes) -> None:
        """Announce an incarnation of a node.

        Args:
            node: its id.
            incarnation: its process life.
            payload: one JSON value, without white space around it.

        Raises:
            NameTaken: this incarnation is registered; a new process life takes a new incarnation.
            StoreError: the registration could not be written.
        """
        header = self._header(REGISTRATION, node, incarnation)
        self._store.create(self._paths.registration(node, incarnation), seal_json(header, payload))

    def registrations(self) -> dict[tuple[str, str], Reading]:
        """Read what has been announced: (node, incarnation) to the reading of its file.

        Costs one listing, and one read for each file that was not valid at an earlier call.

        Raises:
            StoreError: the store itself cannot be read.
        """
        found: dict[tuple[str, str], Reading] = {}
        for text in self._store.names(self._paths.peers_folder):
            name = parse_registration_name(text)
            if name is None:
                continue
            peer = (name.node, name.incarnation)
            # A twin counts only where nothing valid was read under the name it doubles.
            if not isinstance(found.get(peer), Valid):
                found[peer] = self._registration(name)
        return found

    def registration(self, node: str, incarnation: str) -> Reading:
        """Read one announcement, where its node and incarnation are known.

        Raises:
            StoreError: the store itself cannot be read.
        """
        return self._registration(PeerName(node, incarnation), twin_too=True)

    def write_beat(self, node: str, incarnation: str, sequence: int, payload: bytes) -> None:
        """Write a heartbeat, over the one before.

        Args:
            node: the node's id.
            incarnation: its process life.
            sequence: a count that grows with each beat.
            payload: one JSON value, without white space around it.

        Raises:
            StoreError: the beat could not be written.
        """
        header = self._header(BEAT, node, incarnation, sequence)
        self._store.replace_copy(self._paths.beat(node, incarnation), seal_json(header, payload))

    def read_beat(self, node: str, incarnation: str) -> Reading:
        """Read the last heartbeat; often NotYet while it is being rewritten.

        Raises:
            StoreError: the store itself cannot be read.
        """
        return read_envelope(
            self._store,
            self._paths.beat(node, incarnation),
            Expected(
                kind=BEAT,
                experiment=self._paths.experiment,
                node=node,
                incarnation=incarnation,
                max_payload=MAX_BEAT,
            ),
            twin_too=True,
        )

    def _registration(self, name: PeerName, *, twin_too: bool = False) -> Reading:
        key = twin_name(self._paths.registration(name.node, name.incarnation), name.twin)
        known = self._known.get(key)
        if known is not None:
            return known
        reading = read_envelope(
            self._store,
            key,
            Expected(
                kind=REGISTRATION,
                experiment=self._paths.experiment,
                node=name.node,
                incarnation=name.incarnation,
                max_payload=MAX_REGISTRATION,
            ),
            twin_too=twin_too,
        )
        if isinstance(reading, Valid):
            self._known[key] = reading
        return reading

    def _header(self, kind: str, node: str, incarnation: str, sequence: int = 0) -> Header:
        experiment = self._paths.experiment
        return Header(kind=kind, experiment=experiment, node=node, incarnation=incarnation, sequence=sequence)


def write_request(experiment: ExperimentStore, payload: bytes) -> str:
    """Leave a request; the coordinator finds it at its next look.

    Args:
        experiment: where to.
        payload: one JSON value, without white space around it.

    Returns:
        The request's id, 8 hex digits, under which it will be answered.

    Raises:
        StoreError: it could not be written; a second call makes another request.
    """
    request = new_incarnation()
    header = Header(kind=REQUEST, experiment=experiment.name, node=request)
    data = seal_json(header, payload)
    try:
        experiment.store.create(experiment.paths.request(request), data)
    except FolderMissing:
        # An experiment from before there were requests has no folder for them.
        experiment.store.make_folder(experiment.paths.requests_folder)
        experiment.store.create(experiment.paths.request(request), data)
    return request


class RequestReader:
    """Reads the requests of an experiment, each once."""

    def __init__(self, experiment: ExperimentStore) -> None:
        self._store, self._paths = experiment.store, experiment.paths
        self._done: set[str] = set()

    def poll(self) -> dict[str, Reading]:
        """Answer the requests that are new since the last call: id to reading.

        Costs one listing, and a read for each new file. A file that is not whole yet is left for a later call; one
        that is damaged or no request is answered as such, once.

        Raises:
            StoreError: the store itself cannot be read; what was not answered comes at the next call.
        """
        found: dict[str, Reading] = {}
        for text in self._store.names(self._paths.requests_folder):
            name = parse_request_name(text)
            if name is None or name[0] in self._done or name[0] in found:
                continue
            reading = self._read(*name)
            if not isinstance(reading, NotYet):
                found[name[0]] = reading
        self._done.update(found)
        return found

    def _read(self, request: str, twin: int) -> Reading:
        return read_envelope(
            self._store,
            twin_name(self._paths.request(request), twin),
            Expected(kind=REQUEST, experiment=self._paths.experiment, node=request, max_payload=MAX_REQUEST),
        )


class DiscoveryFolder:
    """The records of all nodes of all experiments of a root.

    Args:
        store: the root.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._settled: dict[Peer, Valid] = {}

    def write(self, experiment: str, node: str, incarnation: str, count: int, payload: bytes) -> None:
        """Write a heartbeat, over the one before.

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
        header = Header(
            kind=DISCOVERY_RECORD, experiment=experiment, node=node, incarnation=incarnation, sequence=count
        )
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
        counts: both were rewritten once.

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
        parsed = [parse_registration_name(text) for text in self._store.names(DISCOVERY)]
        names = [name for name in parsed if name is not None and name.twin <= _MAX_TWIN]
        yield from names[:MAX_RECORDS]

    def _read(self, name: PeerName) -> Reading:
        return read_envelope(
            self._store,
            twin_name(discovery_record(name.node, name.incarnation), name.twin),
            Expected(
                kind=DISCOVERY_RECORD,
                experiment=None,
                node=name.node,
                incarnation=name.incarnation,
                max_payload=MAX_RECORD,
            ),
        )


def _newer(known: Reading | None, found: Reading) -> Reading:
    """Of two readings of one node's record, the valid one with the higher count."""
    if not isinstance(known, Valid):
        return found
    if isinstance(found, Valid) and found.header.sequence > known.header.sequence:
        return found
    return known
