"""What a round of a game counted: by the manager, by the data manager where it counts, and by the trainer."""

from __future__ import annotations

import numbers
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple

from swarm_ray.genrl.recorder import GameRow, TrainReport
from swarm_ray.records.rollouts import StepCounters
from swarm_ray.sapo.grpo import is_zero_advantage


@dataclass
class RoundCounts:
    """How many rollouts of other nodes came, were refused and were used in a round.

    The manager puts a fresh one on its data manager as `counts` when a round begins; one that looks at other nodes'
    rollouts adds to it.
    """

    offered: Counter[str] = field(default_factory=Counter)
    """By node: rollouts that came."""
    rejected: Counter[str] = field(default_factory=Counter)
    """By reason."""
    shown: Counter[str] = field(default_factory=Counter)
    """By node: rollouts that stand in the prompts of a later stage."""
    zero_advantage: int = 0
    """External rollouts that were left out since their rewards are alike."""
    scores: dict[str, list[float]] = field(default_factory=dict)
    """By node: what this node's verifier gave their completions, the unused ones included."""
    scoring_failures: int = 0
    problems: list[str] = field(default_factory=list)


class Scored(NamedTuple):
    """One rollout of a round with its rewards."""

    agent: Any
    specialty: str
    rewards: list[float]


def scored_rollouts(state: Any, rewards: Any) -> list[Scored]:
    """Every rollout of every agent in all stages that were played, with what the game's reward functions gave.

    Args:
        state: GenRL's `GameState` at the end of a round, before it advances.
        rewards: GenRL's reward manager after `update_rewards`; stage, agent, batch item and node index it.
    """
    return [
        Scored(agent, _specialty(state, stage, agent, item, index), values)
        for stage in range(state.stage)
        for agent, item, index, given in _entries(rewards[stage])
        if (values := _numbers(given))
    ]


def report_of(trainer: Any) -> TrainReport:
    """What a trainer did last: its `report`, or what GenRL's own keeps of its losses, which are cleared."""
    report = getattr(trainer, "report", None)
    if isinstance(report, TrainReport):
        return report
    metrics = getattr(trainer, "_metrics", {}).get("train", {})
    losses, clips = metrics.get("loss") or [], metrics.get("clip_ratio") or []
    found = TrainReport(
        trained=bool(losses),
        loss=fmean(losses) if losses else None,
        clip_share=fmean(clips) if clips else None,
    )
    metrics.clear()
    return found


def make_row(
    number: int,
    stages: int,
    rank: Any,
    found: Sequence[Scored],
    counts: RoundCounts,
    report: TrainReport,
    seconds: dict[str, float],
) -> GameRow:
    """The row of a round.

    Args:
        number: of the round.
        stages: that it had.
        rank: this node among the agents of `found`.
        found: all rollouts with their rewards.
        counts: what the exchange and the data manager counted.
        report: what the trainer did.
        seconds: by phase, as `swarm_ray.sapo.phases.PHASES` names them.
    """
    own = [s for s in found if s.agent == rank]
    others = [s for s in found if s.agent != rank]
    used = Counter(str(s.agent) for s in others) + counts.shown
    flat_own = [r for s in own for r in s.rewards]
    by_specialty = _together((s.specialty, s.rewards) for s in own if s.specialty)
    zero_own = sum(is_zero_advantage(s.rewards) for s in own)
    return GameRow(
        node="",
        incarnation="",
        round=number,
        step=number,
        stages=stages,
        reward=_mean(flat_own),
        reward_mixed=_mean(flat_own + [r for s in others for r in s.rewards]),
        reward_by_specialty={name: _mean(values) for name, values in sorted(by_specialty.items())},
        local=len(own),
        external=used.total(),
        counters=StepCounters(
            offered=counts.offered.total(),
            used=used.total(),
            rejected=dict(sorted(counts.rejected.items())),
            used_from=dict(sorted(used.items())),
            zero_advantage_local=zero_own,
            zero_advantage_external=counts.zero_advantage + sum(is_zero_advantage(s.rewards) for s in others),
            generated_tokens=report.generated_tokens,
        ),
        informative=len(own) - zero_own,
        trained=report.trained,
        loss=report.loss,
        clip_share=report.clip_share,
        entropy=report.entropy,
        grad_norm=report.grad_norm,
        unfaithful=report.unfaithful,
        seconds=seconds,
        problems=(*counts.problems, *report.problems, *_alone(used, counts)),
        scoring_failures=counts.scoring_failures,
        vote=best_peer(counts.scores or _together((str(s.agent), s.rewards) for s in others)),
    )


def best_peer(scores: Mapping[str, Sequence[float]]) -> str | None:
    """The node whose completions were worth most on average, the smaller name among equals; None without any."""
    return min(scores, key=lambda peer: (-_mean(scores[peer]), peer), default=None)


def _together(named: Iterable[tuple[str, list[float]]]) -> dict[str, list[float]]:
    """All rewards under each name."""
    rewards: dict[str, list[float]] = {}
    for name, some in named:
        rewards.setdefault(name, []).extend(some)
    return rewards


def _alone(used: Counter[str], counts: RoundCounts) -> Iterator[str]:
    """Says when a round was played alone, and why if that is known."""
    if used:
        return
    offered = counts.offered.total()
    reasons = [f"{count} {reason}" for reason, count in sorted(counts.rejected.items())]
    if counts.zero_advantage:
        reasons.append(f"{counts.zero_advantage} without an advantage")
    why = "; ".join(reasons) or "the game's rule took none"
    yield "no external rollout was used: " + (f"{offered} offered ({why})" if offered else "none was offered")


def _entries(of_stage: Any) -> Iterator[tuple[Any, Any, int, Any]]:
    """(agent, batch item, node index, rewards); nothing where a game rewards in another form."""
    if not isinstance(of_stage, Mapping):
        return
    for agent, items in of_stage.items():
        for item, nodes in items.items():
            for index, given in enumerate(nodes):
                yield agent, item, index, given


def _specialty(state: Any, stage: int, agent: Any, item: Any, index: int) -> str:
    """The data set that a question is of, where its metadata says so; else empty."""
    world = state.trees[agent][item][stage][index].world_state
    environment = getattr(world, "environment_states", None)
    metadata = environment.get("metadata") if isinstance(environment, dict) else None
    name = metadata.get("source_dataset") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""


def _numbers(given: Any) -> list[float]:
    """Rewards as numbers, whatever holds them; none where they are no numbers."""
    listed = given.tolist() if hasattr(given, "tolist") else given
    values = listed if isinstance(listed, (list, tuple)) else [listed]
    return [float(v) for v in values if isinstance(v, numbers.Real)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0  # of peers' rewards, which may be infinite
