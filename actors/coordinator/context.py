"""What a coordinator shares between epochs, and which nodes are members, alive, or waiting for answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from actors.coordinator.closing import DueStage
from actors.coordinator.control import Control
from actors.coordinator.failover import EpochStart, known_nodes
from actors.coordinator.history import RoundHistory, Tallies
from actors.coordinator.roster import Peer, Roster
from actors.coordinator.submissions import Listing, Submissions
from drive_store import ExperimentStore
from drive_store.paths import BUCKET
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.records.state import ExperimentState, Member, Moment, StageOpen


@dataclass(frozen=True)
class CoordinatorContext:
    """What a coordinator shares between epochs."""

    config: SwarmConfig
    changed_hash: str
    """Of the configuration in force, if it differs from the one in `experiment.json`; else empty."""
    experiment: ExperimentStore
    roster: Roster
    submissions: Submissions
    control: Control
    tallies: Tallies
    history: RoundHistory

    def inherit(self, found: EpochStart) -> None:
        """Take over what the log says."""
        self.roster.restore(*known_nodes(found.records))
        self.roster.config_hashes |= {record.config_hash for record in found.records if record.config_hash}
        self.submissions.restore(found.records, found.floor)
        self.history.restore(found.records, found.upcoming)
        answered = {request for record in found.records for request in record.replies}
        if found.last is not None:
            self.tallies.restore(found.last.tallies, found.last.barren)
            self.control.restore(answered, paused=found.last.state == ExperimentState.PAUSED)

    @property
    def is_async(self) -> bool:
        """Whether rounds are asynchronous."""
        return self.config.pace.mode == "async"

    @property
    def is_over(self) -> bool:
        """Whether the last round has closed."""
        return self.history.next.round >= self.config.rounds

    def due(self, opens: StageOpen | None) -> DueStage:
        """Whose files count now."""
        stale = self.config.pace.staleness if self.is_async else None
        if opens is None:
            return DueStage(*self.history.next, staleness=stale, over=self.is_over)
        named = self.roster.peers if self.is_async else [m.node for m in opens.members]
        return DueStage(*Moment.of(opens), frozenset(named), stale)

    def late_listings(self, *, first: bool) -> list[Listing]:
        """Where files of earlier rounds may have become visible: where nodes wait for answers, or the end is near.

        Args:
            first: nothing was listed in this epoch yet.
        """
        listings = []
        for peer in self.roster.peers.values():
            listings += listings_of_owed(peer, files_owed(peer, self.submissions.is_answered))
            if first or self.is_over:
                listings += listings_of_round(peer, self.history.next.round)
        return listings

    def members(self, now: float) -> list[Member]:
        """Members of the next stage; none when too few are there, or too few of those are alive."""
        history, pace = self.history, self.config.pace
        if history.opened.round < 0 and len(self.roster.peers) < pace.expect:
            return []
        active = self.roster.get_active_peers(now)
        if history.next.stage > 0:  # the round's own members: nodes join at round starts only
            began = {member.node for member in history.members}
            return [member for member in active if member.node in began]
        return active if len(active) >= pace.min_nodes else []

    def alive(self, now: float) -> set[str]:
        """Healthy nodes that are alive and not done."""
        return {m.node for m in self.roster.get_active_peers(now)}

    def able(self, number: int, now: float) -> set[str]:
        """Nodes that are alive and do not skip the round."""
        return {node for node in self.alive(now) if not self.roster.peers[node].skips(number)}


OLDER_LIVES = 8
"""Incarnations of a node that are listed for files without an answer."""
NEWEST_LIVES = 2
"""Incarnations listed for files of the open round: the new one, and one whose upload may still be in progress."""
AT_A_BUCKETS_START = 16
"""For this many rounds after a bucket begins, the previous bucket is listed too."""


def files_owed(peer: Peer, is_answered: Callable[[str, int], bool]) -> tuple[int, ...]:
    """Rounds of files that a node published and that no record has answered yet."""
    node = peer.registration.node
    return tuple(number for number in peer.unanswered if not is_answered(node, number))


def listings_of_round(peer: Peer, number: int) -> list[Listing]:
    """Where files of round `number`, and of those just before, may lie."""
    near = {
        number // BUCKET: number,
        max(0, number - AT_A_BUCKETS_START) // BUCKET: number - AT_A_BUCKETS_START,
    }
    return [
        Listing(peer.registration.node, life, max(0, round_))
        for life in peer.incarnations[-NEWEST_LIVES:]
        for round_ in near.values()
    ]


def listings_of_owed(peer: Peer, owed: Iterable[int]) -> list[Listing]:
    """Where files of these rounds may lie: one listing a bucket and incarnation."""
    asked = frozenset(owed)
    buckets = {number // BUCKET: number for number in sorted(asked)}
    return [
        Listing(peer.registration.node, life, number, asked)
        for life in peer.incarnations[-OLDER_LIVES:]
        for number in buckets.values()
    ]


def awaited_at_the_end(
    peers: Mapping[str, Peer], active: Iterable[str], owed: Mapping[str, tuple[int, ...]]
) -> list[str]:
    """Living nodes whose final heartbeat or a file is outstanding; dead and failed nodes are not waited for."""
    owing = {node for node, rounds in owed.items() if rounds and peers[node].problem is None}
    return sorted({*active, *owing})
