"""Closing a stage and choosing what follows: pure functions, and the sums that a record tells of each node."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

import msgspec

from swarm_ray.config.schema import PaceConfig
from swarm_ray.records.nodes import NodeTotals, StoreUse
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import (
    Answers,
    FileRef,
    Member,
    Moment,
    NodeTally,
    Refusal,
    StageClosed,
    StageOpen,
)


@dataclass(frozen=True)
class RoundRules:
    """What the configuration says of an experiment's rounds."""

    pace: PaceConfig
    rounds: int
    stages: int
    """Of a round."""
    alarm_streak: int
    """So many rounds in a row without an advantage raise the alarm."""
    config_hash: str
    """Of the swarm-wide settings in force."""


class Counted(NamedTuple):
    """An accepted file and its content."""

    ref: FileRef
    file: RoundFile


@dataclass
class Received:
    """Files by outcome."""

    accepted: list[Counted] = field(default_factory=list)
    late: list[FileRef] = field(default_factory=list)
    superseded: list[FileRef] = field(default_factory=list)
    rejected: list[Refusal] = field(default_factory=list)
    spent: set[str] = field(default_factory=set)
    """Nodes that cannot submit again in this round; files of earlier rounds do not count against a node."""

    @property
    def nodes(self) -> set[str]:
        """Nodes with an accepted file."""
        return {counted.ref.node for counted in self.accepted}

    def missing(self, members: Sequence[Member]) -> list[Member]:
        """Members of whose files of this round none was accepted or refused."""
        done = self.nodes | self.spent
        return [m for m in members if m.node not in done]

    def answers(self) -> Answers | None:
        """Answers to these files in a record without a stage; None without files."""
        if not (self.late or self.superseded or self.rejected):
            return None
        return Answers(tuple(self.late), tuple(self.superseded), tuple(self.rejected))


@dataclass(frozen=True)
class DueStage:
    """Whose files count now."""

    moment: Moment
    """The open stage, or the next one while none is open."""
    members: frozenset[str] = frozenset()
    """Nodes whose files of it are accepted; empty while no stage is open."""
    staleness: int | None = None
    """In async pace, files up to this many rounds old count too."""
    over: bool = False
    """No round will open again: every new file is late."""

    def is_due(self, node: str, made_for: Moment) -> bool:
        """Whether a file of a stage is to be looked at now; others wait for their stage."""
        return self.is_late(made_for) or (made_for <= self.moment and node in self.members)

    def is_late(self, made_for: Moment) -> bool:
        """Whether a file of a stage came too late to count."""
        return self.over or made_for < Moment(self.moment.round - (self.staleness or 0), self.moment.stage)


def stage_is_over(pace: PaceConfig, *, living: int, submitted: int, accepted: int, seconds: float) -> bool:
    """Whether the stage closes now, by the strategy in `pace`; a stage with nothing in it never does.

    Args:
        pace: the strategy, its share and its times.
        living: members of the round that are alive, or whose file is in.
        submitted: members that are finished with the stage: a file was accepted or rejected.
        accepted: accepted files.
        seconds: since the record that opened the stage was written.
    """
    earliest = {"completion": 0.0, "hybrid": pace.min_s, "time": pace.max_s}[pace.strategy]
    enough = submitted >= math.ceil(pace.share * living)
    return accepted > 0 and (seconds >= pace.max_s or (enough and seconds >= earliest))


def close_stage(
    opens: StageOpen,
    received: Received,
    winners: tuple[str, ...],
    seconds: float,
    store: StoreUse,
    *,
    awaited: bool,
) -> StageClosed:
    """How the stage ended.

    Args:
        opens: the stage.
        received: what came in since it opened.
        winners: whom most nodes voted for.
        seconds: how long it took.
        store: what the coordinator asked of the folder since the stage before.
        awaited: whether every member had to submit a file (barrier pace); in async pace none counts as missing.
    """
    rewards: defaultdict[str, list[float]] = defaultdict(list)
    informative: Counter[str] = Counter()
    for ref, file in received.accepted:
        informative[ref.node] += file.informative
        if file.reward is not None:
            rewards[ref.node].append(file.reward)
    return StageClosed(
        round=opens.round,
        stage=opens.stage,
        accepted=tuple(counted.ref for counted in received.accepted),
        missing=tuple(m.node for m in received.missing(opens.members)) if awaited else (),
        late=tuple(received.late),
        superseded=tuple(received.superseded),
        rejected=tuple(received.rejected),
        rewards={node: fmean(found) for node, found in rewards.items()},
        informative=dict(informative),
        winners=winners,
        seconds=seconds,
        store=store,
    )


class Tallies:
    """Sums per node, and the streak of rounds in which no group of any node had an advantage.

    Args:
        alarm_streak: a streak of so many rounds raises the alarm.
    """

    def __init__(self, alarm_streak: int) -> None:
        self._alarm_streak = alarm_streak
        self._last: dict[str, NodeTally] = {}
        self._votes: Counter[str] = Counter()
        self.barren = 0
        """Rounds in a row without an informative group, up to the last."""

    def restore(self, tallies: Mapping[str, NodeTally], barren: int) -> None:
        """Restore from a record."""
        for node, tally in tallies.items():
            self._last[node] = msgspec.structs.replace(tally, totals=msgspec.structs.replace(tally.totals))
        self.barren = barren

    def submit_reward(self, node: str, number: int, file: RoundFile) -> None:
        """Count an accepted file: this round's reward and tokens, and the counters of the step before."""
        last = self._tally(node)
        totals = last.totals
        totals.reward += file.reward or 0.0
        totals.generated_tokens += file.generated_tokens
        if file.previous is not None:
            totals.count(file.previous)
        reward = last.reward if file.reward is None else file.reward
        self._last[node] = NodeTally(number, file.step, reward, totals)

    def submit_winners(self, node: str, winner: str | None) -> None:
        """Count a node's vote for the previous round; votes for itself or for no node are ignored."""
        if winner is not None and winner != node:
            self._votes[winner] += 1

    def close_round(self, files: Iterable[RoundFile], nodes: Collection[str]) -> tuple[str, ...]:
        """Note whether any group of the round had an advantage; answers which of `nodes` has most votes.

        A game's files without a reward do not count for this.
        """
        if telling := [f for f in files if f.reward is not None]:
            self.barren = 0 if any(f.informative for f in telling) else self.barren + 1
        votes = {node: count for node, count in self._votes.items() if node in nodes}
        self._votes.clear()
        return tuple(sorted(node for node, count in votes.items() if count == max(votes.values())))

    @property
    def learned_nothing(self) -> bool:
        """Whether the streak is long enough for the alarm."""
        return self.barren >= self._alarm_streak

    def of(self, nodes: Mapping[str, str | None], final: Mapping[str, NodeTotals]) -> dict[str, NodeTally]:
        """A tally for each of `nodes` (id to problem); totals from the last beats where `final` has them."""
        lasts = {node: self._tally(node) for node in sorted(nodes)}
        return {
            node: msgspec.structs.replace(last, totals=final.get(node, last.totals), problem=nodes[node])
            for node, last in lasts.items()
        }

    def _tally(self, node: str) -> NodeTally:
        return self._last.get(node) or NodeTally(-1, 0, None, NodeTotals())
