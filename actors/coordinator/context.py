"""What a coordinator shares between epochs: its history, and which nodes are members, alive, or waiting for answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from statistics import fmean

from actors.coordinator.closing import DueStage, RoundRules, Tallies
from actors.coordinator.control import Control
from actors.coordinator.failover import EpochStart, known_nodes, next_stage
from actors.coordinator.roster import Peer, Roster
from actors.coordinator.submissions import Listing, Submissions
from drive_store import ExperimentStore
from drive_store.paths import BUCKET
from swarm_ray.records.state import ExperimentState, Member, Moment, StageOpen, StateRecord

KEPT = 512
"""Rounds for which submitters and mean rewards are kept."""
OLDER_LIVES = 8
"""Incarnations of a node that are listed for files without an answer."""
NEWEST_LIVES = 2
"""Incarnations listed for files of the open round: the new one, and one whose upload may still be in progress."""
AT_A_BUCKETS_START = 16
"""For this many rounds after a bucket begins, the previous bucket is listed too."""


class RoundHistory:
    """The next stage, the rewards of previous rounds, and whose files were accepted in them.

    Args:
        stages: of a round.
    """

    def __init__(self, stages: int = 1) -> None:
        self._stages = stages
        self._accepted: deque[tuple[int, Collection[str]]] = deque(maxlen=KEPT * stages)
        self._rewards: deque[float] = deque(maxlen=KEPT)
        self.next = Moment(0)
        """The open stage, or the next one."""
        self.opened = Moment(-1)
        """The last stage that opened."""
        self.members: tuple[Member, ...] = ()
        """Of the last round that opened: nodes join at round starts only."""

    def opens(self, stage: StageOpen) -> None:
        """Note a stage that opens."""
        self.opened = max(self.opened, stage.moment)
        self.members = stage.members

    def closed(self, moment: Moment, accepted: Collection[str], rewards: Collection[float]) -> None:
        """Note a stage that has closed: nodes whose files were accepted, and the nodes' own mean rewards."""
        self.next = moment.following(self._stages)
        self._accepted.append((moment.round, accepted))
        if moment.stage == 0:
            self._rewards.append(fmean(rewards) if rewards else 0.0)

    def adopt(self, record: StateRecord) -> None:
        """Continue above what another coordinator's record opened or closed."""
        self.next = max(self.next, next_stage([record], self._stages))

    def rewards(self) -> tuple[float, ...]:
        """Mean own reward over the nodes, of the last rounds that closed."""
        return tuple(self._rewards)

    def of(self, number: int) -> list[str]:
        """Nodes whose files of a round were accepted."""
        return sorted({node for round_, nodes in tuple(self._accepted) if round_ == number for node in nodes})


@dataclass(frozen=True)
class CoordinatorContext:
    """What a coordinator shares between epochs."""

    rules: RoundRules
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
        self.submissions.restore(found.records, found.floor)
        for record in found.records:
            if record.config_hash:
                self.roster.config_hashes.add(record.config_hash)
            if closed := record.closed:
                self.history.closed(
                    closed.moment, {ref.node for ref in closed.accepted}, closed.rewards.values()
                )
            if record.opens:
                self.history.opens(record.opens)
        self.history.next = found.upcoming
        if found.last is not None:
            self.tallies.restore(found.last.tallies, found.last.barren)
            answered = {request for record in found.records for request in record.replies}
            self.control.restore(answered, paused=found.last.state == ExperimentState.PAUSED)

    @property
    def is_async(self) -> bool:
        """Whether rounds are asynchronous."""
        return self.rules.pace.mode == "async"

    @property
    def is_over(self) -> bool:
        """Whether the last round has closed."""
        return self.history.next.round >= self.rules.rounds

    def next_state(self, members: Collection[Member]) -> ExperimentState:
        """What the experiment is once no stage is open: draining, paused, running (a round opens) or waiting.

        Args:
            members: of the next stage; none if it cannot open.
        """
        if self.is_over:
            return ExperimentState.DRAINING
        if self.control.paused:
            return ExperimentState.PAUSED
        return ExperimentState.RUNNING if members else ExperimentState.WAITING

    def due(self, opens: StageOpen | None) -> DueStage:
        """Whose files count now."""
        stale = self.rules.pace.staleness if self.is_async else None
        if opens is None:
            return DueStage(self.history.next, staleness=stale, over=self.is_over)
        named = self.roster.peers if self.is_async else [m.node for m in opens.members]
        return DueStage(opens.moment, frozenset(named), stale)

    def late_listings(self, *, first: bool) -> list[Listing]:
        """Where files of earlier rounds may have become visible: where nodes wait for answers, or the end is near.

        Args:
            first: nothing was listed in this epoch yet.
        """
        listings = []
        for peer in self.roster.peers.values():
            listings += listings_of_owed(peer, self.owed(peer))
            if first or self.is_over:
                listings += listings_of_round(peer, self.history.next.round)
        return listings

    def owed(self, peer: Peer) -> tuple[int, ...]:
        """Rounds of files that a node published and that no record has answered yet."""
        node = peer.registration.node
        return tuple(n for n in peer.beat.unanswered if not self.submissions.is_answered(node, n))

    def members(self, now: float) -> list[Member]:
        """Members of the next stage; none when too few are there, or too few of those are alive."""
        history, pace = self.history, self.rules.pace
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


def listings_of_round(peer: Peer, number: int) -> list[Listing]:
    """Where files of round `number`, and of those just before, may lie."""
    near = {n // BUCKET: n for n in (number, max(0, number - AT_A_BUCKETS_START))}
    return [
        Listing(peer.registration.node, life, round_)
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
