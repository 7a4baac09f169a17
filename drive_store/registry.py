"""Who is there: registrations and heartbeats of an experiment's nodes, and the records by which nodes are found.

Registrations are written once; heartbeats and discovery records are rewritten in place, and may be met half written.
"""

from __future__ import annotations

from functools import partial

from drive_store.envelope import Expected, Header, Reading, Valid, read_envelope, seal_json
from drive_store.experiment_store import ExperimentStore, write_in_folder
from drive_store.names import PeerName, parse_registration_name, twin_name
from drive_store.paths import DISCOVERY, discovery_record
from drive_store.store.store import Store

REGISTRATION, BEAT, DISCOVERY_RECORD = "registration", "beat", "discovery"
MAX_ANNOUNCEMENT = 1 << 16
"""The most bytes that the payload of a registration or a heartbeat may have."""
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
        self._experiment = experiment
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
        self._experiment.store.create(
            self._experiment.paths.registration(node, incarnation),
            seal_json(self._experiment.header(REGISTRATION, node, incarnation), payload),
        )

    def registrations(self) -> dict[Peer, Reading]:
        """Read what has been announced: (node, incarnation) to the reading of its file.

        Costs one listing, and one read for each file that was not valid at an earlier call.

        Raises:
            StoreError: the store itself cannot be read.
        """
        found: dict[Peer, Reading] = {}
        for name in map(
            parse_registration_name, self._experiment.store.names(self._experiment.paths.peers_folder)
        ):
            # A twin counts only where nothing valid was read under the name it doubles.
            if name is not None and not isinstance(found.get(name.peer), Valid):
                found[name.peer] = self._registration(name)
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
        self._experiment.store.replace_copy(
            self._experiment.paths.beat(node, incarnation),
            seal_json(self._experiment.header(BEAT, node, incarnation, sequence=sequence), payload),
        )

    def read_beat(self, node: str, incarnation: str) -> Reading:
        """Read the last heartbeat; often NotYet while it is being rewritten.

        Raises:
            StoreError: the store itself cannot be read.
        """
        key = self._experiment.paths.beat(node, incarnation)
        return self._experiment.read(
            key, BEAT, node, incarnation, max_payload=MAX_ANNOUNCEMENT, twin_too=True
        )

    def _registration(self, name: PeerName, *, twin_too: bool = False) -> Reading:
        key = twin_name(self._experiment.paths.registration(*name.peer), name.twin)
        if key not in self._known:
            reading = self._experiment.read(
                key, REGISTRATION, *name.peer, max_payload=MAX_ANNOUNCEMENT, twin_too=twin_too
            )
            if not isinstance(reading, Valid):
                return reading
            self._known[key] = reading
        return self._known[key]


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
        # The coordinator makes the folder with its experiment; roots from before there was discovery have none.
        write_in_folder(
            self._store,
            DISCOVERY,
            partial(
                self._store.replace_copy, discovery_record(node, incarnation), seal_json(header, payload)
            ),
        )

    def read_all(self) -> dict[Peer, Reading]:
        """Read what nodes say of themselves: (node, incarnation) to the reading of its file.

        Costs one listing, and a read for each file that is not settled. Of twins the one with the higher count
        counts: both were rewritten once.

        Raises:
            StoreError: the store itself cannot be read.
        """
        names = [
            name
            for text in self._store.names(DISCOVERY)
            if (name := parse_registration_name(text)) is not None and name.twin <= _MAX_TWIN
        ]
        found: dict[Peer, Reading] = {}
        for name in names[:MAX_RECORDS]:
            reading = self._settled.get(name.peer) or self._read(name)
            found[name.peer] = max(found.get(name.peer, reading), reading, key=_count_of)
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


def _count_of(reading: Reading) -> int:
    """By which the newer of two readings of one node's record is told; a valid one goes before any other."""
    return reading.header.sequence if isinstance(reading, Valid) else -1
