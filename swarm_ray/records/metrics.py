"""What is logged of a node: rows of metrics, evaluations, events."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from swarm_ray.records.nodes import StoreUse
from swarm_ray.records.rollouts import StepCounters


class StepMetrics(msgspec.Struct):
    """One row of a node's metrics: a round it took part in."""

    node: str
    incarnation: str
    round: int
    step: int
    reward: float
    """Mean raw reward of own completions; the one that is summed and compared."""
    reward_by_specialty: dict[str, float]
    reward_mixed: float
    """Mean raw reward over the training batch, own and external: what the paper's logs show."""
    local: int
    """Own rollouts of this round."""
    external: int
    """External rollouts in the training batch."""
    counters: StepCounters
    trained: bool
    """False when no group had an advantage, so that no step was taken."""
    loss: float | None
    clip_share: float | None
    entropy: float | None
    """Nats per trained token."""
    grad_norm: float | None
    unfaithful: float
    """Share of own completions whose text does not encode to the sampled tokens again."""
    scoring_failures: int
    """Own completions on which the verifier failed or ran out of time."""
    seconds: dict[str, float]
    """The trainer's seconds per phase divided by its nodes, so that they add up over nodes."""
    alone: bool = False
    """True for a step that was taken without a coordinator."""
    replayed: bool = False
    """True for a step that was taken again, from the state log, after a restart."""
    store: StoreUse | None = None
    """What the trainer asked of the folder since its row before; on the first row of each of its rounds alone, and on
    none that was replayed, so that rows add up."""


class Evaluation(msgspec.Struct, frozen=True):
    """Held-out pass@1 of a node."""

    node: str
    when: str
    """start or end."""
    pass_at_1: float | None
    """Mean over specialties' questions and samples; None when nothing is held out."""
    by_specialty: dict[str, float]
    questions: dict[str, int]
    """Held-out questions asked per specialty."""


class Event(msgspec.Struct, frozen=True):
    """Something that happened, for people and programs."""

    kind: str
    text: str
    node: str = ""
    round: int = -1
    at: str = ""
    """Wall clock, ISO 8601, for people."""


@dataclass(frozen=True)
class LoggerProgress:
    """What a display needs of a worker."""

    rows: tuple[StepMetrics, ...]
    """The latest row of each node."""
    seconds: dict[str, float]
    """Sum over nodes and rounds so far, per phase."""
    rewards: tuple[float, ...]
    """Mean own reward of this worker's nodes, for every round they took part in."""
    used: int
    """External rollouts used so far."""
    events: tuple[Event, ...]
    """The last few."""
    resumed: dict[str, str]
    """What each node that resumed here recovered, and what not."""
    problem: str = ""
    """Why the folder cannot be written now; rows wait on this machine's own disk meanwhile."""
    remark: str = ""
    """What went wrong with a tracker."""
