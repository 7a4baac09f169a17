"""Signs of life in a folder: who announced itself, what each node said last, and what shows that somebody coordinates.

Where an experiment stands (`status`) and the live view (`swarm_ray.live`) are both told from these.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from drive_store import UNREADABLE, Registry, StateRef, Valid, read_coordinator_beats
from drive_store.envelope import NotYet
from drive_store.names import parse_beat_name, parse_registration_name
from swarm_ray.experiments.read.experiment import OpenExperiment
from swarm_ray.identity import is_peer_id
from swarm_ray.records.nodes import Beat, Registration
from swarm_ray.records.state import StateRecord


class Peers:
    """Reads what nodes say of themselves; a registration, which never changes, is read once.

    Args:
        experiment: whose.
    """

    def __init__(self, experiment: OpenExperiment) -> None:
        self._experiment = experiment
        self._registry = Registry(experiment.view)
        self._listed = False
        self._registered: dict[tuple[str, str], tuple[str, str]] = {}
        """Node and incarnation to the hash of its configuration, and why that cannot be told."""

    def announced(self) -> dict[str, set[str]]:
        """Node to its incarnations, of all that ever announced themselves; one listing.

        Raises:
            StoreError: the folder cannot be listed.
        """
        lives: dict[str, set[str]] = {}
        for text in self._experiment.store.names(self._experiment.paths.peers_folder):
            name = parse_beat_name(text) or parse_registration_name(text)
            if name is not None:
                lives.setdefault(name.node, set()).add(name.incarnation)
        self._listed = False
        return lives

    def beat(self, node: str, incarnation: str) -> tuple[Beat | None, str]:
        """What an incarnation said last, or why that cannot be read; neither while it is being written.

        Raises:
            StoreError: the folder cannot be read.
        """
        reading = self._registry.read_beat(node, incarnation)
        if isinstance(reading, NotYet):
            return None, ""
        if not isinstance(reading, Valid):
            return None, f"its beat cannot be read: {reading.reason}"
        try:
            return msgspec.json.decode(reading.payload, type=Beat), ""
        except UNREADABLE as error:
            return None, f"its beat cannot be read: {error}"

    def peer_id(self, node: str, incarnation: str) -> str:
        """By which libp2p knows an incarnation of a node, as it says itself; empty where it says nothing of the kind.

        Costs one read, of a registration.

        Raises:
            StoreError: the folder cannot be read.
        """
        reading = self._registry.registration(node, incarnation)
        if not isinstance(reading, Valid):
            return ""
        try:
            said = msgspec.json.decode(reading.payload, type=Registration)
        except UNREADABLE:
            return ""
        return said.peer_id if is_peer_id(said.peer_id) else ""

    def refused(self, node: str, incarnation: str, in_force: str) -> str:
        """Why a node that stands in no state record is kept out of the swarm; empty where it may still come in.

        Args:
            node: its id.
            incarnation: its process life.
            in_force: the hash of the configuration that the newest state record names; empty for the first one.

        Raises:
            StoreError: the folder cannot be read.
        """
        peer, first = (node, incarnation), self._experiment.identity.config_hash
        if peer not in self._registered and not self._listed:
            self._read_registrations()
        theirs, problem = self._registered.get(peer, (first, ""))
        if problem or theirs in {first, in_force}:
            return problem
        return f"refused: its configuration is {theirs}, not {in_force or first}"

    def _read_registrations(self) -> None:
        """All at once, and once a look: another listing finds no more."""
        self._listed = True
        for peer, reading in self._registry.registrations().items():
            if isinstance(reading, Valid) and peer not in self._registered:
                try:
                    theirs = msgspec.json.decode(reading.payload, type=Registration).config_hash
                    self._registered[peer] = theirs, ""
                except UNREADABLE as error:
                    self._registered[peer] = "", f"its registration cannot be read: {error}"


def taking_part(record: StateRecord | None) -> dict[str, str]:
    """Node to the incarnation that takes part, by a state record."""
    if record is None:
        return {}
    published = {f.node: f.incarnation for f in record.closed.accepted} if record.closed else {}
    return published | ({m.node: m.incarnation for m in record.opens.members} if record.opens else {})


@dataclass(frozen=True)
class CoordinatorSigns:
    """What shows that somebody coordinates: beats, whoever gave them, and the newest state record."""

    beats: dict[str, int]
    """Claimant to the count in its last beat."""
    keys: tuple[str, ...]
    """Files whose age tells since when nothing is heard."""

    def age(self, experiment: OpenExperiment) -> float | None:
        """Seconds since the youngest sign, by wall clocks; None where nothing is seen."""
        return min((age for key in self.keys if (age := experiment.age(key)) is not None), default=None)


def coordinator_signs(experiment: OpenExperiment, ref: StateRef | None = None) -> CoordinatorSigns:
    """Look for signs of a coordinator: one listing, and a read for each that there ever was.

    Args:
        experiment: whose.
        ref: names the newest state record, where that is to count as a sign as well.

    Raises:
        StoreError: the folder cannot be read.
    """
    paths = experiment.paths
    beats = {
        claimant: beat.header.sequence for claimant, beat in read_coordinator_beats(experiment.view).items()
    }
    keys = [paths.coordinator_beat(claimant) for claimant in beats]
    keys += [paths.state_record(ref.epoch, ref.sequence, ref.claimant)] if ref else []
    return CoordinatorSigns(beats, tuple(keys))
