"""The members of the swarm: registrations, heartbeats and problems, as the coordinator sees them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from drive_store import UNREADABLE, ExperimentStore, Liveness, Registry, Valid, record_in, why_no_record
from swarm_ray.config.schema import PaceConfig
from swarm_ray.records.nodes import Beat, NodeTotals, Registration
from swarm_ray.records.state import Member

UNHEARD = Beat(0, -1, 0, "", NodeTotals())
"""Stands for the heartbeat of a node before its first."""


@dataclass
class Peer:
    """One node of the swarm, with its latest heartbeat."""

    registration: Registration
    incarnations: list[str]
    """All incarnations of the node, the current one last."""
    beat: Beat = UNHEARD
    failure: str | None = None
    """The problem that the current incarnation reported; cleared only by a new incarnation."""
    silence: str | None = None
    """Why the node is considered dead; cleared by its next heartbeat."""

    @property
    def member(self) -> Member:
        """The node as a round's member."""
        return Member(self.registration.node, self.registration.incarnation)

    @property
    def problem(self) -> str | None:
        """Why the node does not take part."""
        return self.failure or self.silence


class Roster:
    """Keeps the members; liveness is judged by progress, on this process's own monotonic clock.

    Args:
        experiment: the experiment in the shared folder.
        config_hashes: of the swarm-wide settings, the first and later ones; nodes with another one are refused.
        pace: heartbeats, and when a node is dead.
    """

    def __init__(self, experiment: ExperimentStore, config_hashes: Collection[str], pace: PaceConfig) -> None:
        self._registry = Registry(experiment)
        self.config_hashes, self._pace = set(config_hashes), pace
        self._alive = Liveness(pace.dead_after_s)
        self._read: dict[tuple[str, str], str] = {}
        self._announced: dict[str, dict[str, Registration]] = {}
        self._preferred: dict[str, str] = {}
        self._given_up: dict[str, str] = {}
        self.peers: dict[str, Peer] = {}
        self.refused: dict[str, str] = {}
        """Incarnations that may not take part, `node.incarnation` to reason."""

    def restore(self, members: Mapping[str, str], problems: Mapping[str, str]) -> None:
        """Restore what the previous coordinator knew; to be called before the first scan.

        Args:
            members: node to the incarnation that was a member last.
            problems: node to why it did not take part.
        """
        self._preferred.update(members)
        self._given_up.update(problems)

    def scan(self, now: float, *, every_beat: bool = False) -> None:
        """Read new registrations (one listing), and the heartbeats of all nodes, or of those that published nothing."""
        for (node, incarnation), reading in sorted(self._registry.registrations().items()):
            if isinstance(reading, Valid) and self._read.get((node, incarnation)) != reading.sha256:
                self._read[node, incarnation] = reading.sha256
                registration = record_in(reading, Registration)
                if registration and (registration.node, registration.incarnation) == (node, incarnation):
                    self.register_peer(registration)
                else:
                    why = why_no_record(reading, Registration)
                    self.refused[f"{node}.{incarnation}"] = (
                        f"a registration that cannot be read: {why}"
                        if why
                        else "a registration of another node"
                    )
        for node in sorted(self._announced):
            self._admit(node, now)
        for node, peer in self.peers.items():
            quiet = every_beat or self._alive.silence(node, now) > self._pace.beat_s / 2
            if quiet and not peer.beat.done:
                self._read_beat(peer, now)

    def register_peer(self, registration: Registration) -> None:
        """Announce a node or a new incarnation of one, or note in `refused` why not; the next scan admits it.

        A node belongs to its current incarnation until a successor is announced, or until it is done, has failed or
        is silent.
        """
        node, incarnation = registration.node, registration.incarnation
        if registration.config_hash in self.config_hashes:
            self._announced.setdefault(node, {})[incarnation] = registration
        else:
            known = " or ".join(sorted(self.config_hashes))
            self.refused[f"{node}.{incarnation}"] = f"configuration {registration.config_hash}, not {known}"

    def published(self, node: str, now: float) -> None:
        """Count a published file as a heartbeat."""
        self._alive.observe(node, ("published", now), now)
        self.peers[node].silence = None

    def excuse(self, now: float) -> None:
        """Restart every node's silence timer: the coordinator itself could not reach the folder."""
        for node in self.peers:
            self._alive.observe(node, ("excused", now), now)

    def get_active_peers(self, now: float) -> list[Member]:
        """Healthy members that are alive and not done, ordered by node id."""
        return [peer.member for node, peer in self._at_work() if self._alive.alive(node, now)]

    def silence(self, node: str, now: float) -> float:
        """Seconds since a node last made progress."""
        return self._alive.silence(node, now)

    def mark_silent(self, now: float) -> list[str]:
        """Mark nodes that have been silent for too long as dead; answers their ids."""
        silent = [node for node, _ in self._at_work() if not self._alive.alive(node, now)]
        for node in silent:
            seconds = self.silence(node, now)
            problem = f"nothing heard of it for {seconds:.0f} s; its machine or process is gone, or it hangs"
            self.peers[node].silence = problem
        return silent

    def totals(self) -> dict[str, NodeTotals]:
        """The totals in the final heartbeats of nodes that are done; earlier heartbeats lag behind a node's files."""
        return {node: peer.beat.totals for node, peer in self.peers.items() if peer.beat.done}

    def highest_round(self) -> int:
        """The highest round in any node's heartbeat; -1 without any."""
        return max((peer.beat.round for peer in self.peers.values()), default=-1)

    def _at_work(self) -> list[tuple[str, Peer]]:
        """Healthy nodes that are not done."""
        peers = sorted(self.peers.items())
        return [(node, peer) for node, peer in peers if peer.problem is None and not peer.beat.done]

    def _admit(self, node: str, now: float) -> None:
        """Decide which incarnation has the node, and refuse the others."""
        announced = self._announced[node]
        if node not in self.peers:
            line = first_and_older(announced, self._preferred.get(node))
            self.peers[node] = Peer(announced[line[-1]], line, silence=self._given_up.get(node))
            self._alive.observe(node, ("registered", line[-1]), now)
        peer = self.peers[node]
        while (heir := heir_of(peer.incarnations, announced, free=self._is_free(peer, now))) is not None:
            peer = self.peers[node] = Peer(announced[heir], [*peer.incarnations, heir])
            self._alive.observe(node, ("registered", heir), now)
            self.refused.pop(f"{node}.{heir}", None)
        for other in announced.keys() - set(peer.incarnations):
            self.refused[f"{node}.{other}"] = f"node {node} is taken by {peer.registration.incarnation}"

    def _is_free(self, peer: Peer, now: float) -> bool:
        """Whether an incarnation that does not name a predecessor may have the node."""
        return (
            peer.beat.done or peer.problem is not None or not self._alive.alive(peer.registration.node, now)
        )

    def _read_beat(self, peer: Peer, now: float) -> None:
        node, incarnation = peer.member.node, peer.member.incarnation
        reading = self._registry.read_beat(node, incarnation)
        if not isinstance(reading, Valid):
            return
        try:
            beat = msgspec.json.decode(reading.payload, type=Beat)
        except UNREADABLE as error:
            peer.failure = f"its beat cannot be read: {error}"
            return
        before, peer.beat = peer.beat, beat
        peer.failure = peer.failure or beat.problem
        if before is UNHEARD or progress_of(before) != progress_of(beat):
            self._alive.observe(node, progress_of(beat), now)
            if before is not UNHEARD:
                peer.silence = None


def progress_of(beat: Beat) -> object:
    """What changes when the trainer makes progress; the heartbeat count also grows while it hangs."""
    return beat.round, beat.step, beat.phase, beat.progress, beat.done, beat.problem


def first_and_older(announced: Mapping[str, Registration], preferred: str | None) -> list[str]:
    """The current incarnation, last, preceded by those that it continues.

    Args:
        announced: registrations of a node's incarnations, at least one.
        preferred: the one that the state log named last.
    """
    names = sorted(announced)
    roots = [name for name in names if announced[name].succeeds not in announced]
    line = [str(preferred) if preferred in announced else (roots or names)[0]]
    while (before := announced[line[0]].succeeds) in announced and before not in line:
        line.insert(0, before)
    return line


def heir_of(incarnations: Sequence[str], waiting: Mapping[str, Registration], *, free: bool) -> str | None:
    """The incarnation that takes a node over; None while its current one keeps it.

    Args:
        incarnations: those that had the node, the current one last.
        waiting: registrations of other incarnations.
        free: whether the current one is done, has failed or is silent.
    """
    others = [name for name in sorted(waiting) if name not in incarnations]
    # The successor of another waiting incarnation comes after that one.
    roots = [name for name in others if waiting[name].succeeds not in others]
    named = [name for name in others if waiting[name].succeeds == incarnations[-1]]
    return next(iter(named or (roots if free else [])), None)
