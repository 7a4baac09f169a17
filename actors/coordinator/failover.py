"""Failover: an epoch begins once its predecessor is silent, above the highest visible epoch and round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from actors.coordinator.closing import RoundRules
from actors.coordinator.roster import Roster
from drive_store import ExperimentStore, StateEntry, StateLogTail, StateRef, is_dead, newest
from drive_store.statelog.coordinator import best_claim, highest_round_seen, read_coordinator_beats
from swarm_ray.errors import NodeTakenError
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.experiments.folder import ExperimentAddress, local_folder
from swarm_ray.machine.local_disk import Lock, read_words
from swarm_ray.records.state import ENDED, FIRST, ExperimentState, Moment, StateRecord

TAIL = 100
"""Records that are read at most, however long the log is."""
UNSEEN_ROUNDS = 100
"""At most so many rounds of a predecessor's records can still be invisible."""
TOLERATED_MOVES = 1
"""A single late heartbeat may have been written before the writer died and become visible since."""


@dataclass(frozen=True)
class EpochStart:
    """What an epoch begins with."""

    epoch: int = 1
    predecessor: str = ""
    """The claimant that wrote the newest record; empty for an empty log."""
    refs: tuple[StateRef, ...] = ()
    records: tuple[StateRecord, ...] = ()
    """The newest of the chain, the last one last."""
    upcoming: Moment = FIRST
    """The stage to continue with."""
    floor: int = 0
    """The first round of which `records` name every file."""

    @property
    def last(self) -> StateRecord | None:
        """The newest record."""
        return self.records[-1] if self.records else None


class Failover:
    """Watches the log until an epoch may begin; never sleeps.

    Args:
        experiment: the experiment in the shared folder.
        rules: of the rounds.
        roster: has the nodes' heartbeats; takes over what the log says of them.
        dead: claimants known to be dead.
    """

    def __init__(
        self, experiment: ExperimentStore, rules: RoundRules, roster: Roster, dead: frozenset[str]
    ) -> None:
        self._experiment, self._roster = experiment, roster
        self._rules, self._pace, self._dead = rules, rules.pace, dead
        self._mark: object = None
        """What changes whenever a coordinator does something."""
        self._moves, self._since = -1, 0.0
        self._settled_at: float | None = None
        self.waits_for = ""
        """The claimant that must fall silent first."""

    def look(self, now: float) -> EpochStart | None:
        """What the epoch begins with; None while it has to wait.

        Raises:
            NodeTakenError: the experiment is coordinated elsewhere.
            StoreError: the folder cannot be read.
        """
        claim = best_claim(self._experiment)
        if claim is None:
            return EpochStart()
        head = newest(self._experiment)
        state = decode_state(head).state if head else ""
        self.waits_for = claim[1]
        if state != ExperimentState.FINISHED and not self._is_gone(claim, head, now, ended=state in ENDED):
            return None
        tail = StateLogTail(self._experiment, TAIL).look()
        found = inherit(claim, tail, stages=self._rules.stages)
        if has_nothing_left(found.records, self._rules.rounds, self._rules.stages):
            return found
        if state == ExperimentState.FINISHED and not self._is_gone(claim, head, now, ended=True):
            return None
        return self._above_all_rounds(found, now)

    def _is_gone(self, claim: tuple[int, str], head: StateEntry | None, now: float, *, ended: bool) -> bool:
        """Whether the predecessor is dead and its writes have had time to become visible."""
        if {claim[1], head.ref.claimant if head else claim[1]} <= self._dead:
            return True
        beats = read_coordinator_beats(self._experiment)
        others = sorted((name, beat.sha256) for name, beat in beats.items() if name not in self._dead)
        if (mark := (claim, head.ref if head else None, others)) != self._mark:
            self._mark, self._since = mark, now
            self._moves += 1
        if self._moves > TOLERATED_MOVES:
            raise NodeTakenError(
                f"experiment {self._experiment.name!r} is coordinated by {self.waits_for} elsewhere; join it as a "
                "worker, or end that coordinator first"
            )
        wait_s = self._pace.settle_s if ended else max(self._pace.dead_after_s, self._pace.settle_s)
        return is_dead(now - self._since, wait_s)

    def _above_all_rounds(self, found: EpochStart, now: float) -> EpochStart | None:
        """The inherited state, continued above every round that a node has seen."""
        self._roster.restore(*known_nodes(found.records))
        self._roster.scan(now, every_beat=True)
        members = {(n, life) for n, peer in self._roster.peers.items() for life in peer.incarnations}
        seen = max(highest_round_seen(self._experiment, members), self._roster.highest_round())
        # No honest round is beyond the last, or far beyond what the log shows.
        if not found.upcoming.round < seen < min(self._rules.rounds, found.upcoming.round + UNSEEN_ROUNDS):
            return found
        if self._settled_at is None:
            self._settled_at = now + self._pace.settle_s
        if now < self._settled_at:
            return None
        return replace(found, upcoming=Moment(seen + 1))


def inherit(claim: tuple[int, str], tail: Sequence[StateEntry], *, stages: int) -> EpochStart:
    """What an epoch takes over from the newest entries of the log, given the best claim of all names.

    Raises:
        SwarmStateError: an entry cannot be decoded.
    """
    refs, records = tuple(entry.ref for entry in tail), tuple(decode_state(entry) for entry in tail)
    whole = not refs or refs[0].sequence == 0
    closed = [record.closed.round for record in records if record.closed]
    upcoming = next_stage(records, stages)
    return EpochStart(
        epoch=claim[0] + 1,
        predecessor=refs[-1].claimant if refs else claim[1],
        refs=refs,
        records=records,
        upcoming=upcoming,
        floor=0 if whole else min(closed, default=upcoming.round),
    )


def next_stage(records: Sequence[StateRecord], stages: int = 1) -> Moment:
    """The stage to open after `records`: the one still open, or the one after the last closed one."""
    found = [FIRST]
    for record in records:
        found += [record.closed.moment.following(stages)] if record.closed else []
        found += [record.opens.moment] if record.opens else []
        # A tally has the round of a node's last file, which was in the round's last stage if there is only one.
        found += [Moment(tally.round + (stages == 1)) for tally in record.tallies.values()]
    return max(found)


def has_nothing_left(records: Sequence[StateRecord], rounds: int, stages: int = 1) -> bool:
    """Whether the experiment is finished with all of its rounds."""
    finished = bool(records) and records[-1].state == ExperimentState.FINISHED
    return finished and next_stage(records, stages).round >= rounds


def known_nodes(records: Sequence[StateRecord]) -> tuple[dict[str, str], dict[str, str]]:
    """Node to the incarnation that was a member last, and node to its problem in the newest record."""
    members = {m.node: m.incarnation for record in records if record.opens for m in record.opens.members}
    tallies = records[-1].tallies if records else {}
    return members, {node: tally.problem for node, tally in tallies.items() if tally.problem}


class CoordinatorLock:
    """Held for the life of a process; acquiring it proves that every predecessor on this machine is dead.

    Args:
        address: the experiment.
        claimant: its new holder.

    Raises:
        NodeTakenError: another process of this machine coordinates the experiment.
        StoreUnavailable: the experiment's folder cannot be read.
    """

    def __init__(self, address: ExperimentAddress, claimant: str) -> None:
        folder = local_folder(address)
        self._lock = Lock(folder / "coordinator.lock", f"the coordinator of {address.experiment!r}")
        names = folder / "coordinators.txt"
        self.predecessors = frozenset(read_words(names))
        """Claimants known to be dead."""
        with names.open(
            "a"
        ) as file:  # before its first record is visible, so that all of this machine are known
            file.write(f"\n{claimant}\n")

    def release(self) -> None:
        """Release the lock; harmless when repeated."""
        self._lock.release()
