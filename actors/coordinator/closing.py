"""What came in of a stage, when it closes, and the sums that a record tells of each node."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from swarm_ray.config.schema import PaceConfig
from swarm_ray.records.nodes import NodeTotals
from swarm_ray.records.rollouts import RoundFile, StepCounters
from swarm_ray.records.state import (
    Answers,
    FileRef,
    Member,
    Moment,
    NodeTally,
    Refusal,
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

    def submit_reward(
        self, node: str, at: tuple[int, int], reward: float | None, tokens: int, previous: StepCounters | None
    ) -> None:
        """Count an accepted file.

        Args:
            node: whose it is.
            at: the round, and the node's step.
            reward: this round's mean own reward, where there is one.
            tokens: generated for it.
            previous: counters of the step before.
        """
        last = self._tally(node)
        totals = last.totals
        totals.reward += reward or 0.0
        totals.generated_tokens += tokens
        if previous is not None:
            totals.count(previous)
        self._last[node] = NodeTally(*at, last.reward if reward is None else reward, totals)

    def submit_winners(self, node: str, winner: str | None) -> None:
        """Count a node's vote for the previous round; votes for itself or for no node are ignored."""
        if winner is not None and winner != node:
            self._votes[winner] += 1

    def close_round(self, informative: Sequence[int], nodes: Collection[str]) -> tuple[str, ...]:
        """Note whether any group of the round had an advantage; answers which of `nodes` has most votes.

        Args:
            informative: groups with an advantage, for each file with a reward; a game has files without one.
            nodes: who may be voted for.
        """
        if informative:
            self.barren = 0 if any(informative) else self.barren + 1
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
