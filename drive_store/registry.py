"""Who takes part: registrations, written once per incarnation, and beats, rewritten in place."""

from __future__ import annotations

from drive_store.envelope import Header, seal_json
from drive_store.envelope_reading import Reading, Valid, read_envelope
from drive_store.experiment_store import ExperimentStore
from drive_store.names import PeerName, parse_registration_name, twin_name

REGISTRATION = "registration"
BEAT = "beat"
MAX_REGISTRATION = 1 << 16
"""The most bytes a registration's payload may have."""
MAX_BEAT = 1 << 16
"""The most bytes a beat's payload may have."""


class Registry:
    """The registrations and beats of an experiment; one listing shows all, and each is read once."""

    def __init__(self, experiment: ExperimentStore) -> None:
        self._store = experiment.store
        self._paths = experiment.paths
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
            # A twin speaks only where nothing valid was read under the name it doubles.
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
        """Give a sign of life, over the one before.

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
        """Read the last sign of life; often NotYet while it is being rewritten.

        Raises:
            StoreError: the store itself cannot be read.
        """
        return read_envelope(
            self._store,
            self._paths.beat(node, incarnation),
            kind=BEAT,
            experiment=self._paths.experiment,
            node=node,
            incarnation=incarnation,
            max_payload=MAX_BEAT,
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
            kind=REGISTRATION,
            experiment=self._paths.experiment,
            node=name.node,
            incarnation=name.incarnation,
            max_payload=MAX_REGISTRATION,
            twin_too=twin_too,
        )
        if isinstance(reading, Valid):
            self._known[key] = reading
        return reading

    def _header(self, kind: str, node: str, incarnation: str, sequence: int = 0) -> Header:
        experiment = self._paths.experiment
        return Header(kind=kind, experiment=experiment, node=node, incarnation=incarnation, sequence=sequence)
