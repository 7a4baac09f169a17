"""A swarm at one moment, as live displays show it; plain data, and the figures of the newest rounds.

The folder (`swarm_ray.observe.folder`) and a worker's own actors (`swarm_ray.runtime.worker_view`) fill it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import median

from swarm_ray.experiments.read.compare import mean
from swarm_ray.experiments.read.status import current_round
from swarm_ray.records.state import ENDED, ExperimentState, StageClosed, StateRecord

WINDOW = 20
"""State records that are kept, from which current speeds are computed."""
MEAN_OF = 10
"""Rounds that a recent reward is the mean of."""
LEAST_ROUNDS = 3
"""With fewer rounds their duration is not estimated."""
STALLED = 10.0
"""A round that takes so many times as long as others counts as held up, without an estimate of its end."""
STALLED_LEAST_S = 5.0
"""No round counts as held up earlier than this."""


@dataclass(frozen=True)
class NodeSnapshot:
    """One node at one moment; None where something is not known."""

    node: str
    round: int = -1
    """The last round that it took part in; -1 before its first."""
    step: int = 0
    reward: float | None = None
    """Mean own reward in the newest round that closed."""
    mean_reward: float | None = None
    """The same over the newest rounds that closed, ten at most."""
    external: float | None = None
    """Share of external rollouts in all that it learned from so far."""
    step_s: float | None = None
    """Seconds that a step takes, over the newest rounds."""
    tokens_per_s: float | None = None
    """Generated tokens per second, over the newest rounds."""
    seen_s: float | None = None
    """Seconds since its last heartbeat."""
    by_clocks: bool = False
    """Whether `seen_s` rests on wall clocks, since this machine has not seen it change yet."""
    problems: tuple[str, ...] = ()
    """Its problems, as text."""
    notes: tuple[str, ...] = ()
    """Other remarks on it."""
    done: bool = False
    """Whether it has ended."""


@dataclass(frozen=True)
class ExperimentSnapshot:
    """A swarm at one moment."""

    experiment: str
    state: str
    """absent, starting, waiting, running, paused, draining, finished, stopped, failed or superseded."""
    label: str = ""
    """`4 local / 4 external`, say."""
    rounds: int = 0
    closed: int = 0
    """Rounds that are over."""
    round_s: float | None = None
    """Seconds that a round takes: the median of the newest ones."""
    left_s: float | None = None
    """Seconds until the last round will have closed; None if unknown."""
    rewards: tuple[float, ...] = ()
    """Mean own reward over the run, oldest first: per round, or of equal parts."""
    reward: float | None = None
    """Mean own reward over the newest rounds, ten at most."""
    cumulative: float | None = None
    """Own reward summed over nodes and rounds."""
    nodes: tuple[NodeSnapshot, ...] = ()
    coordinator: str = ""
    """The coordinator, and its last heartbeat."""
    result: str = ""
    """Its results, once it has ended."""
    alarms: tuple[str, ...] = ()
    """Warnings to show first."""
    notes: tuple[str, ...] = ()
    """Remarks on the whole swarm."""
    used: int = 0
    """External rollouts that this machine's nodes used so far; 0 where the folder alone is read."""
    unreachable: str = ""
    """Why this machine cannot reach the shared folder; empty while it can."""

    lost: bool = False
    """Whether the coordinator is silent, so that the state is out of date."""

    @property
    def ended(self) -> bool:
        """Whether nothing more is to come."""
        return self.state in (*ENDED, "superseded")


def label(local: int, external: int) -> str:
    """`4 local / 4 external`."""
    return f"{local} local / {external} external"


def extended(records: tuple[StateRecord, ...], record: StateRecord) -> tuple[StateRecord, ...]:
    """The window with one more record at its end, unless it is there already."""
    return records if records and records[-1] == record else (*records, record)[-WINDOW:]


def closings(records: Sequence[StateRecord]) -> list[StageClosed]:
    """The rounds that closed, oldest first."""
    return [record.closed for record in records if record.closed is not None]


def rounds_closed(record: StateRecord) -> int:
    """Closed rounds, by a record."""
    return record.opens.round if record.opens else current_round(record) + 1


def swarm_reward(records: Sequence[StateRecord]) -> float | None:
    """Mean own reward over nodes and the newest rounds."""
    found = [mean(closed.rewards.values()) for closed in closings(records)]
    return mean([reward for reward in found if reward is not None][-MEAN_OF:])


def node_snapshot(node: str, records: Sequence[StateRecord], local: int | None) -> NodeSnapshot:
    """What the records say of a node.

    Args:
        node: its id.
        records: the newest ones, oldest first.
        local: own rollouts per step; None where the configuration cannot be read.
    """
    tally = records[-1].tallies.get(node) if records else None
    if tally is None:
        return NodeSnapshot(node)
    rewards = [closed.rewards[node] for closed in closings(records) if node in closed.rewards]
    step_s, tokens_per_s = _speed(node, records)
    learned = tally.totals.used + tally.step * local if local is not None and tally.step > 0 else 0
    return NodeSnapshot(
        node=node,
        round=tally.round,
        step=tally.step,
        reward=tally.reward,
        mean_reward=mean(rewards[-MEAN_OF:]),
        external=tally.totals.used / learned if learned else None,
        step_s=step_s,
        tokens_per_s=tokens_per_s,
        problems=(tally.problem,) if tally.problem else (),
    )


def _speed(node: str, records: Sequence[StateRecord]) -> tuple[float | None, float | None]:
    """Seconds per step and tokens per second, since the first record of the window that has the node.

    Time spent waiting counts, so this is the throughput that the swarm gets from the node.
    """
    known = [(i, r.tallies[node]) for i, r in enumerate(records) if node in r.tallies]
    (start, first), (_, last) = known[0], known[-1]
    seconds = sum(closed.seconds for closed in closings(records[start + 1 :]))
    steps, tokens = last.step - first.step, last.totals.generated_tokens - first.totals.generated_tokens
    return (
        seconds / steps if seconds > 0 and steps > 0 else None,
        tokens / seconds if seconds > 0 and tokens > 0 else None,
    )


def round_seconds(seconds: Sequence[float]) -> float | None:
    """The median of the newest rounds; None if there are too few.

    Args:
        seconds: of each, from its opening to its closing.
    """
    known = [spent for spent in seconds if isfinite(spent)]
    return median(known) if len(known) >= LEAST_ROUNDS else None


def seconds_left(state: str, rounds_left: int, round_s: float | None, since_s: float | None) -> float | None:
    """Seconds until the last round will have closed.

    Args:
        state: only running swarms have an estimate.
        rounds_left: rounds that are not over, the open one among them.
        round_s: seconds that a round takes.
        since_s: seconds since the open round began; None if unknown.

    Returns:
        None without an estimate: too few rounds, not running, or the open round is held up.
    """
    open_s = since_s or 0.0
    if state != ExperimentState.RUNNING or round_s is None or rounds_left <= 0:
        return None
    if open_s > max(STALLED * round_s, STALLED_LEAST_S):
        return None
    left_s = max(rounds_left * round_s - min(open_s, round_s), 0.0)
    return left_s if isfinite(left_s) else None
