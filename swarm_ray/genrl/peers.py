"""Who else plays, and how far: registrations and beats, judged by change on this machine's own clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import msgspec

from drive_store import UNREADABLE, ExperimentStore, Liveness, Registry, Valid
from swarm_ray.config.schema import PaceConfig
from swarm_ray.records.nodes import Beat, Registration


@dataclass(frozen=True)
class Peer:
    """One incarnation of another node, as the node's last beats and files show it."""

    node: str
    incarnation: str
    round: int
    """The last round that the node finished, in an earlier life it may be; -1 before its first."""
    over: bool
    """It has left, or was given up."""
    alive: bool


class Peers:
    """Follows the registrations and beats of all other nodes; looks at most once in half a beat.

    Args:
        experiment: the experiment in the shared folder.
        node: our own id.
        pace: how often a node beats, and how long one is silent before it counts as dead.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        experiment: ExperimentStore,
        node: str,
        pace: PaceConfig,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = Registry(experiment)
        self._own, self._pace, self._clock = node, pace, clock
        self._liveness = Liveness(pace.dead_after_s)
        self._beats: dict[tuple[str, str], Beat] = {}
        self._registrations: dict[tuple[str, str], Registration] = {}
        self._looked = -inf
        self._reached: dict[str, int] = {}

    def look(self, *, now: bool = False) -> None:
        """Read what is new.

        Args:
            now: whether or not it was looked a moment ago.

        Raises:
            StoreError: the folder cannot be read.
        """
        at = self._clock()
        if not now and at - self._looked < self._pace.beat_s / 2:
            return
        self._looked = at
        for (node, incarnation), reading in self._registry.registrations().items():
            if node != self._own and isinstance(reading, Valid):
                self._see(node, incarnation, reading.payload, at)

    def reached(self, node: str, number: int) -> None:
        """A file shows that a node has finished round `number`, which its beat may tell later."""
        self._reached[node] = max(number, self._reached.get(node, -1))

    def lives(self, node: str) -> list[Peer]:
        """All incarnations of a node, the one that counts first."""
        return sorted((self._peer(*key) for key in self._registrations if key[0] == node), key=self._order)

    def present(self) -> dict[str, Peer]:
        """Every other node that was ever registered, with the incarnation that counts."""
        return {node: self.lives(node)[0] for node in sorted({node for node, _ in self._registrations})}

    def playing(self) -> dict[str, Peer]:
        """Those that are alive and have not left."""
        return {node: peer for node, peer in self.present().items() if peer.alive and not peer.over}

    def _see(self, node: str, incarnation: str, payload: bytes, now: float) -> None:
        """Note one incarnation; what cannot be decoded is ignored."""
        key = (node, incarnation)
        try:
            if key not in self._registrations:
                self._registrations[key] = msgspec.json.decode(payload, type=Registration)
            reading = self._registry.read_beat(node, incarnation)
            if isinstance(reading, Valid):
                self._beats[key] = msgspec.json.decode(reading.payload, type=Beat)
        except UNREADABLE:
            return
        # The discovery of a process that hangs keeps beating: its progress counts, not the number of its beats.
        beat = self._beats.get(key)
        mark = beat and (beat.round, beat.step, beat.phase, beat.progress)
        self._liveness.observe(f"{node}.{incarnation}", mark, now)

    def _peer(self, node: str, incarnation: str) -> Peer:
        beat = self._beats.get((node, incarnation))
        alive = self._liveness.alive(f"{node}.{incarnation}", self._clock())
        over = beat is not None and bool(beat.done or beat.problem)
        rounds = [known.round for (name, _), known in self._beats.items() if name == node]
        return Peer(node, incarnation, max([self._reached.get(node, -1), *rounds]), over, alive)

    def _order(self, peer: Peer) -> tuple[bool, float, str]:
        """A life that another continues comes last; of the rest the one that changed last comes first."""
        lives = [r for (node, _), r in self._registrations.items() if node == peer.node]
        continued = peer.incarnation in {r.succeeds for r in lives}
        silence = self._liveness.silence(f"{peer.node}.{peer.incarnation}", self._clock())
        return continued, silence, peer.incarnation
