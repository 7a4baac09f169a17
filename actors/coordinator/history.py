"""What the coordinator remembers of the rounds that have closed."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping

import msgspec

from actors.coordinator.closing import mean
from swarm_ray.records.nodes import NodeTotals
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import Member, Moment, NodeTally, StageClosed, StageOpen, StateRecord


class Tallies:
    """Sums per node, and the streak of rounds in which no group of any node had an advantage.

    Args:
        alarm_rounds: a streak of so many rounds raises the alarm.
    """

    def __init__(self, alarm_rounds: int) -> None:
        self._alarm_rounds = alarm_rounds
        self._totals: dict[str, NodeTotals] = {}
        self._last: dict[str, NodeTally] = {}
        self._votes: Counter[str] = Counter()
        self.barren = 0
        """Rounds in a row without an informative group, up to the last."""

    def restore(self, tallies: Mapping[str, NodeTally], barren: int) -> None:
        """Restore from a record."""
        for node, tally in tallies.items():
            totals = msgspec.structs.replace(tally.totals)
            self._totals[node] = totals
            self._last[node] = NodeTally(tally.round, tally.step, tally.reward, totals)
        self.barren = barren

    def submit_reward(self, node: str, number: int, file: RoundFile) -> None:
        """Count an accepted file: this round's reward and tokens, and the counters of the step before."""
        totals = self._totals.setdefault(node, NodeTotals())
        totals.reward += file.reward or 0.0
        totals.generated_tokens += file.generated_tokens
        if file.previous is not None:
            totals.offered += file.previous.offered
            totals.used += file.previous.used
            totals.rejected += sum(file.previous.rejected.values())
        last = self._last.get(node)
        reward = last.reward if file.reward is None and last else file.reward
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
        most = max(votes.values(), default=0)
        return tuple(sorted(node for node, count in votes.items() if count == most))

    @property
    def learned_nothing(self) -> bool:
        """Whether the streak has reached `alarm_rounds`."""
        return self.barren >= self._alarm_rounds

    def of(
        self, nodes: Mapping[str, str | None], final: Mapping[str, NodeTotals] | None = None
    ) -> dict[str, NodeTally]:
        """A tally for each of `nodes` (id to problem); totals from the last beats where `final` has them."""
        tallies = {}
        for node, problem in sorted(nodes.items()):
            last = self._last.get(node) or NodeTally(-1, 0, None, NodeTotals())
            totals = (final or {}).get(node, last.totals)
            tallies[node] = NodeTally(last.round, last.step, last.reward, totals, problem)
        return tallies


KEPT = 512
"""Rounds for which submitters and mean rewards are kept."""


class RoundHistory:
    """The next stage, the rewards of previous rounds, and whose files were accepted in them.

    Args:
        stages: of a round.
    """

    def __init__(self, stages: int = 1) -> None:
        self._stages = stages
        self.next = Moment(0)
        """The open stage, or the next one."""
        self.opened = Moment(-1)
        """The last stage that opened."""
        self.members: tuple[Member, ...] = ()
        """Of the last round that opened: nodes join at round starts only."""
        self.rewards: deque[float] = deque(maxlen=KEPT)
        """Mean own reward over the nodes, of the last rounds that closed."""
        self._submissions: dict[int, list[str]] = {}

    def restore(self, records: Iterable[StateRecord], upcoming: Moment) -> None:
        """Restore from the log, with the stage to continue with."""
        for record in records:
            if record.closed:
                self.closed(record.closed)
            if record.opens:
                self.opens(record.opens)
        self.next = upcoming

    def opens(self, stage: StageOpen) -> None:
        """Note a stage that opens."""
        self.opened = max(self.opened, Moment.of(stage))
        self.members = stage.members

    def closed(self, stage: StageClosed) -> None:
        """Note a stage that has closed."""
        self.next = Moment.of(stage).following(self._stages)
        if stage.stage == 0:
            self.rewards.append(mean(stage.rewards.values()) if stage.rewards else 0.0)
        self._submissions[stage.round] = sorted({ref.node for ref in stage.accepted})
        for number in sorted(self._submissions)[:-KEPT]:
            del self._submissions[number]

    def adopt(self, record: StateRecord) -> None:
        """Continue above what another coordinator's record opened or closed."""
        if record.closed:
            self.next = max(self.next, Moment.of(record.closed).following(self._stages))
        if record.opens:
            self.next = max(self.next, Moment.of(record.opens))

    def of(self, number: int) -> list[str]:
        """Nodes whose files of a round were accepted."""
        return list(self._submissions.get(number, []))
