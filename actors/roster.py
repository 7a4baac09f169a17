"""Who belongs to the swarm: registrations, beats and problems, as the coordinator sees them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from drive_store import ExperimentPaths, Liveness, Registry, Store, Valid
from swarm_ray.config import PaceConfig
from swarm_ray.records import Beat, Member, NodeTotals, Registration


@dataclass
class Peer:
    """One node of the swarm, with its latest beat."""

    registration: Registration
    beat: Beat | None = None
    problem: str | None = None

    @property
    def member(self) -> Member:
        """The node as a round's member."""
        return Member(self.registration.node, self.registration.incarnation)

    @property
    def done(self) -> bool:
        """Whether the node has taken its last step."""
        return self.beat is not None and self.beat.done


class Roster:
    """Keeps the members; liveness is judged by change, on this process's own monotonic clock.

    Args:
        store: the shared folder.
        paths: the experiment's paths.
        config_hash: of the swarm-wide settings; a node with another one is refused.
        pace: beats and silence.
    """

    def __init__(self, store: Store, paths: ExperimentPaths, config_hash: str, pace: PaceConfig) -> None:
        self._registry = Registry(store, paths)
        self._config_hash, self._pace = config_hash, pace
        self._alive = Liveness()
        self.peers: dict[str, Peer] = {}
        self.refused: dict[str, str] = {}
        """Incarnations that may not take part, `node.incarnation` to reason."""

    def register_peer(self, registration: Registration, now: float) -> None:
        """Take a node in, or note why not. A node id belongs to its first incarnation."""
        key = f"{registration.node}.{registration.incarnation}"
        known = self.peers.get(registration.node)
        if known and known.registration.incarnation == registration.incarnation:
            return
        if known:
            self.refused[key] = f"node {registration.node} is taken by {known.registration.incarnation}"
        elif registration.config_hash != self._config_hash:
            self.refused[key] = f"configuration {registration.config_hash}, not {self._config_hash}"
        else:
            self.peers[registration.node] = Peer(registration)
            self._alive.observe(registration.node, "registered", now)

    def scan(self, now: float, *, every_beat: bool = False) -> None:
        """Read new registrations (one listing), and the beats of nodes that published nothing lately, or all."""
        for (node, incarnation), reading in sorted(self._registry.registrations().items()):
            if isinstance(reading, Valid):
                self._take_in(node, incarnation, reading.payload, now)
        for node, peer in self.peers.items():
            quiet = every_beat or self._alive.silence(node, now) > self._pace.beat_s / 2
            if quiet and not peer.done:
                self._read_beat(peer, now)

    def published(self, node: str, key: str, now: float) -> None:
        """A published file is a beat too."""
        self._alive.observe(node, key, now)

    def get_active_peers(self, now: float) -> list[Member]:
        """Members that are alive, well and not done, ordered by node id."""
        return [
            peer.member
            for node, peer in sorted(self.peers.items())
            if peer.problem is None
            and not peer.done
            and self._alive.alive(node, now, self._pace.dead_after_s)
        ]

    def mark_silent(self, now: float) -> list[str]:
        """Give up nodes that have been silent for too long; answers their ids."""
        silent = [
            node
            for node, peer in self.peers.items()
            if peer.problem is None
            and not peer.done
            and not self._alive.alive(node, now, self._pace.dead_after_s)
        ]
        for node in silent:
            seconds = self._alive.silence(node, now)
            self.peers[
                node
            ].problem = f"nothing heard of it for {seconds:.0f} s; its machine or process is gone"
        return silent

    def totals(self) -> dict[str, NodeTotals]:
        """The sums in the last words of nodes that are done; a beat before that is behind a node's files."""
        return {node: peer.beat.totals for node, peer in self.peers.items() if peer.beat and peer.done}

    def _take_in(self, node: str, incarnation: str, payload: bytes, now: float) -> None:
        try:
            registration = msgspec.json.decode(payload, type=Registration)
        except msgspec.MsgspecError as error:
            self.refused[f"{node}.{incarnation}"] = f"a registration that cannot be read: {error}"
            return
        if (registration.node, registration.incarnation) != (node, incarnation):
            self.refused[f"{node}.{incarnation}"] = "a registration of another node"
            return
        self.register_peer(registration, now)

    def _read_beat(self, peer: Peer, now: float) -> None:
        node, incarnation = peer.member.node, peer.member.incarnation
        reading = self._registry.read_beat(node, incarnation)
        if not isinstance(reading, Valid):
            return
        try:
            beat = msgspec.json.decode(reading.payload, type=Beat)
        except msgspec.MsgspecError as error:
            peer.problem = f"its beat cannot be read: {error}"
            return
        if beat != peer.beat:
            peer.beat = beat
            self._alive.observe(node, reading.sha256, now)
            peer.problem = peer.problem or beat.problem
