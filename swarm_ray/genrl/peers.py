"""Who else plays, and how far: registrations and beats, judged by change on this machine's own clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from drive_store import ExperimentStore, Liveness, Registry, is_dead, record_in
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
        for key, reading in self._registry.registrations().items():
            registration = record_in(reading, Registration)
            if registration is None or key[0] == self._own:
                continue
            self._registrations[key] = registration
            beat = record_in(self._registry.read_beat(*key), Beat) or self._beats.get(key)
            if beat is not None:
                self._beats[key] = beat
            # The discovery of a process that hangs keeps beating: its progress counts, not the number of its beats.
            mark = beat and (beat.round, beat.step, beat.phase, beat.progress)
            self._liveness.observe(".".join(key), mark, at)

    def reached(self, node: str, number: int) -> None:
        """A file shows that a node has finished round `number`, which its beat may tell later."""
        self._reached[node] = max(number, self._reached.get(node, -1))

    def lives(self, node: str) -> list[Peer]:
        """All incarnations of a node: those that another continues last, of the rest the newest change first."""
        now = self._clock()
        registrations = {key: said for key, said in self._registrations.items() if key[0] == node}
        continued = {said.succeeds for said in registrations.values()}
        silences = {key: self._liveness.silence(".".join(key), now) for key in registrations}
        rounds = [beat.round for key, beat in self._beats.items() if key[0] == node]
        furthest = max([self._reached.get(node, -1), *rounds])
        return [
            Peer(
                *key,
                round=furthest,
                over=(beat := self._beats.get(key)) is not None and bool(beat.done or beat.problem),
                alive=not is_dead(silences[key], self._pace.dead_after_s),
            )
            for key in sorted(registrations, key=lambda key: (key[1] in continued, silences[key], key))
        ]

    def present(self) -> dict[str, Peer]:
        """Every other node that was ever registered, with the incarnation that counts."""
        return {node: self.lives(node)[0] for node in sorted({node for node, _ in self._registrations})}

    def playing(self) -> dict[str, Peer]:
        """Those that are alive and have not left."""
        return {node: peer for node, peer in self.present().items() if peer.alive and not peer.over}
