"""What a tracker is, and which figures of a node it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from swarm_ray.errors import SwarmError
from swarm_ray.records.metrics import Evaluation, StepMetrics


class TrackerFailed(SwarmError):
    """A tracker cannot go on; the experiment's own logs are not touched by that."""


@dataclass(frozen=True)
class Tracked:
    """What is told of a node at one of its steps."""

    node: str
    incarnation: str
    step: int
    figures: Mapping[str, float]
    """By name; what belongs to a specialty, a phase or the like has that after a slash."""


class Tracker(Protocol):
    """Follows the nodes of one worker; one thread uses it."""

    @property
    def name(self) -> str:
        """As the configuration calls it."""
        ...

    def log(self, told: Tracked) -> None:
        """Take figures; a node's steps never decrease.

        Raises:
            TrackerFailed: it cannot be taken, and the next one could not either.
        """
        ...

    def close(self) -> None:
        """Bring what was taken to its end.

        Raises:
            TrackerFailed: not all of it was.
        """
        ...


def of_row(row: StepMetrics) -> Tracked:
    """What a row tells."""
    return Tracked(row.node, row.incarnation, row.step, figures(row))


def of_evaluation(evaluation: Evaluation, incarnation: str, step: int) -> Tracked:
    """What held-out pass@1 tells: `pass_at_1/start`, `pass_at_1/end`, and the same of each specialty."""
    when, passed = evaluation.when, evaluation.pass_at_1
    found = {} if passed is None else {when: passed}
    told = _under("pass_at_1", found) | _under(f"pass_at_1_{when}", evaluation.by_specialty)
    return Tracked(evaluation.node, incarnation, step, told)


def figures(row: StepMetrics) -> dict[str, float]:
    """A row's numbers by name.

    A figure that there is none of, such as the loss of a step that was not taken, is left out.
    """
    counters = row.counters
    plain: dict[str, float | None] = {
        "round": row.round,
        "step": row.step,
        "reward": row.reward,
        "reward_mixed": row.reward_mixed,
        "local": row.local,
        "external": row.external,
        "offered": counters.offered,
        "used": counters.used,
        "rejected": sum(counters.rejected.values()),
        "zero_advantage_local": counters.zero_advantage_local,
        "zero_advantage_external": counters.zero_advantage_external,
        "generated_tokens": counters.generated_tokens,
        "loss": row.loss,
        "clip_share": row.clip_share,
        "entropy": row.entropy,
        "grad_norm": row.grad_norm,
        "unfaithful": row.unfaithful,
        "scoring_failures": row.scoring_failures,
        "alone": row.alone,
    }
    found = {name: float(value) for name, value in plain.items() if value is not None}
    found |= _under("reward_by_specialty", row.reward_by_specialty) | _under("seconds", row.seconds)
    if row.store is not None:
        use = row.store.operations | {
            "bytes_read": row.store.bytes_read,
            "bytes_written": row.store.bytes_written,
        }
        found |= _under("store", use)
    return found


def _under(group: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f"{group}/{name}": float(value) for name, value in values.items()}
