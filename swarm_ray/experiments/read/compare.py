"""An experiment's closed stages, and the figures by which experiments are compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.experiments.folder import ExperimentSizes, sizes_of
from swarm_ray.experiments.read.experiment import OpenExperiment
from swarm_ray.experiments.read.metrics import (
    metrics_of,
    record_from_nodes,
    stages_from_rows,
    with_logged_rewards,
)
from swarm_ray.experiments.read.status import ExperimentStatus, read_now
from swarm_ray.records.state import ExperimentState, Refusal, StageClosed


class ClosedStage(msgspec.Struct, frozen=True):
    """One stage that closed, as the state log has it."""

    round: int
    stage: int
    rewards: dict[str, float]
    """Node to the mean raw reward of its own completions; nodes whose file was not accepted are left out."""
    informative: dict[str, int]
    """Node to its own rollouts whose rewards differ."""
    accepted: int
    """Files that counted."""
    missing: tuple[str, ...]
    """Members of which no file counted."""
    late: tuple[str, ...]
    """Nodes whose file of an earlier round was first seen now."""
    superseded: tuple[str, ...]
    """Nodes that had published another file of the same round before."""
    rejected: tuple[Refusal, ...]
    winners: tuple[str, ...]
    seconds: float
    """From its opening to its close, on the coordinator's clock."""


class Comparison(msgspec.Struct, frozen=True):
    """The figures of one experiment; the keys of `swarm-ray compare --json`."""

    experiment: str
    nodes: int
    """Nodes that were taken in."""
    rounds: int
    """Rounds that closed."""
    local: int
    external: int
    completions: int
    cumulative_reward: float
    """Sum over nodes and rounds of the mean raw reward of own completions, of the files that counted."""
    reward_first: float | None
    """Mean of the same over the first tenth of the rounds (one at least); None before the first close."""
    reward_last: float | None
    """As `reward_first`, over the last tenth."""
    pass_at_1_start: float | None
    """Held-out pass@1, mean over the nodes that measured it; None if no node did."""
    pass_at_1_end: float | None
    generated_tokens: int
    seconds: float
    """Sum over stages of the time from opening to close."""
    external_used: int
    """External rollouts that were trained on."""
    state: ExperimentState
    learned_nothing: bool


def history_of(experiment: OpenExperiment, problems: list[str] | None = None) -> list[ClosedStage]:
    """The stages that closed, in order.

    Args:
        experiment: whose.
        problems: takes a line for each state record that is missing or cannot be used; what came after it is left out.

    Raises:
        SwarmStateError: there is such a problem and no list was passed for it, or this version cannot read a record.
        StoreError: the folder cannot be read.
    """
    records = [decode_state(entry) for entry in experiment.checked_log(problems).entries]
    if not records and record_from_nodes(experiment) is not None:
        told = stages_from_rows(metrics_of(experiment, problems))
        return [msgspec.structs.replace(_closed_stage(s), accepted=len(s.rewards)) for s in told]
    stages = [record.closed for record in records if record.closed is not None]
    if any(stage.accepted and not stage.rewards for stage in stages):
        stages = with_logged_rewards(stages, metrics_of(experiment, problems))
    return [_closed_stage(stage) for stage in stages]


def comparison_of(experiment: OpenExperiment, problems: list[str] | None = None) -> Comparison:
    """The figures of one experiment.

    Args:
        experiment: which.
        problems: as for `history_of`; rounds, rewards and seconds are then those of what there is.

    Raises:
        ConfigError: its stored configuration is missing or was altered.
        SwarmStateError: as for `history_of`.
        StoreError: the folder cannot be read.
    """
    sizes, status = sizes_of(experiment.config_in_force()), read_now(experiment).status()
    return figures_of(sizes, status, history_of(experiment, problems))


def figures_of(
    sizes: ExperimentSizes, status: ExperimentStatus, stages: Sequence[ClosedStage | StageClosed]
) -> Comparison:
    """The figures of an experiment, from what was read of it.

    Args:
        sizes: what its configuration says.
        status: where it stands.
        stages: that closed.
    """
    rounds = sorted({stage.round for stage in stages})
    tenth = max(1, len(rounds) // 10)
    takers = [node for node in status.nodes if node.round >= 0]
    return Comparison(
        experiment=status.experiment,
        nodes=len(takers),
        rounds=len(rounds),
        local=sizes.local,
        external=sizes.external,
        completions=sizes.completions,
        cumulative_reward=math.fsum(reward for stage in stages for reward in stage.rewards.values()),
        reward_first=_mean_reward(stages, rounds[:tenth]),
        reward_last=_mean_reward(stages, rounds[-tenth:]),
        pass_at_1_start=mean(node.pass_at_1_start for node in takers),
        pass_at_1_end=mean(node.pass_at_1_end for node in takers),
        generated_tokens=sum(node.generated_tokens for node in takers),
        seconds=math.fsum(stage.seconds for stage in stages),
        external_used=sum(node.external_used for node in takers),
        state=status.state,
        learned_nothing=status.learned_nothing,
    )


def _closed_stage(closed: StageClosed) -> ClosedStage:
    return ClosedStage(
        round=closed.round,
        stage=closed.stage,
        rewards=closed.rewards,
        informative=closed.informative,
        accepted=len(closed.accepted),
        missing=closed.missing,
        late=tuple(file.node for file in closed.late),
        superseded=tuple(file.node for file in closed.superseded),
        rejected=closed.rejected,
        winners=closed.winners,
        seconds=closed.seconds,
    )


def _mean_reward(stages: Sequence[ClosedStage | StageClosed], rounds: Sequence[int]) -> float | None:
    """Mean over the nodes and the given rounds; None where nothing counted."""
    wanted = set(rounds)
    return mean(reward for stage in stages if stage.round in wanted for reward in stage.rewards.values())


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are there; None without any."""
    there = [value for value in values if value is not None]
    return math.fsum(there) / len(there) if there else None
