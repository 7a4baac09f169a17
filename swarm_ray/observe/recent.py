"""Figures of the newest rounds, from the state records that closed them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from swarm_ray.observe.snapshot import NodeLine
from swarm_ray.records.state import NodeTally, StageClosed, StateRecord

WINDOW = 20
"""So many records are kept: what a node or a round does now is told from them."""
MEAN_OF = 10
"""Rounds that a recent reward is the mean of."""


def extended(records: tuple[StateRecord, ...], record: StateRecord) -> tuple[StateRecord, ...]:
    """The window with one more record at its end, unless it is there already."""
    return records if records and records[-1] == record else (*records, record)[-WINDOW:]


def closings(records: Sequence[StateRecord]) -> list[StageClosed]:
    """The rounds that closed, oldest first."""
    return [record.closed for record in records if record.closed is not None]


def rounds_closed(record: StateRecord) -> int:
    """Rounds that are over, by what a record says."""
    if record.opens is not None:
        return record.opens.round
    if record.closed is not None:
        return record.closed.round + 1
    return max((tally.round + 1 for tally in record.tallies.values()), default=0)


def mean(values: Sequence[float]) -> float | None:
    """None of nothing."""
    return sum(values) / len(values) if values else None


def swarm_reward(records: Sequence[StateRecord]) -> float | None:
    """Mean own reward over nodes and the newest rounds."""
    found = [mean(list(closed.rewards.values())) for closed in closings(records)]
    return mean([reward for reward in found if reward is not None][-MEAN_OF:])


def node_line(node: str, records: Sequence[StateRecord], local: int | None) -> NodeLine:
    """What the records say of a node.

    Args:
        node: its id.
        records: the newest ones, oldest first.
        local: own rollouts per step; None where the configuration cannot be read.
    """
    tally = records[-1].tallies.get(node) if records else None
    if tally is None:
        return NodeLine(node)
    rewards = [closed.rewards[node] for closed in closings(records) if node in closed.rewards]
    step_s, tokens_per_s = _speed(node, records)
    return NodeLine(
        node=node,
        round=tally.round,
        step=tally.step,
        reward=tally.reward,
        mean_reward=mean(rewards[-MEAN_OF:]),
        external=external_share(tally.totals.used, tally.step, local),
        step_s=step_s,
        tokens_per_s=tokens_per_s,
        problems=(tally.problem,) if tally.problem else (),
    )


def external_share(used: int, steps: int, local: int | None) -> float | None:
    """Share of external rollouts in all that a node learned from; each step has `local` of its own."""
    if local is None or steps <= 0:
        return None
    return used / (used + steps * local)


def _speed(node: str, records: Sequence[StateRecord]) -> tuple[float | None, float | None]:
    """Seconds per step and tokens per second, since the first record of the window that has the node.

    A node counts its steps and tokens whether it waits for others or not, so this is what the swarm gets of it.
    """
    known = [(i, r.tallies[node]) for i, r in enumerate(records) if node in r.tallies]
    if not known:
        return None, None
    (start, first), (_, last) = known[0], known[-1]
    seconds = sum(closed.seconds for closed in closings(records[start + 1 :]))
    steps, tokens = last.step - first.step, _tokens(last) - _tokens(first)
    return (
        seconds / steps if seconds > 0 and steps > 0 else None,
        tokens / seconds if seconds > 0 and tokens > 0 else None,
    )


def _tokens(tally: NodeTally) -> int:
    return tally.totals.generated_tokens
