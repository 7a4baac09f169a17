"""Results to compare with: cumulative rewards of the paper, and of other seeds of a preset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

from swarm_ray.config.schema import PolicyConfig
from swarm_ray.experiments import Comparison
from swarm_ray.experiments.folder import ExperimentSizes


@dataclass(frozen=True)
class RewardSum:
    """A cumulative reward by itself, and the nodes and rounds that it was summed over."""

    cumulative_reward: float
    nodes: int
    rounds: int


PAPER = {
    split: RewardSum(reward, 8, 2000)
    for split, reward in {"8/0": 561.79, "6/2": 854.43, "4/4": 1093.31, "2/6": 945.87}.items()
}
"""I/J to what the paper's swarm earned (SAPO, arXiv 2509.08721, table 1; one seed)."""


def ratio_to(one: RewardSum | Comparison | None, baseline: RewardSum | Comparison | None) -> float | None:
    """Cumulative reward over the baseline's.

    None unless both are there and were summed over as many nodes and rounds, and the baseline earned something.
    """
    if one is None or baseline is None or (one.nodes, one.rounds) != (baseline.nodes, baseline.rounds):
        return None
    earned = baseline.cumulative_reward
    return one.cumulative_reward / earned if earned > 0 else None


@dataclass(frozen=True)
class Setting:
    """What decides a cumulative reward, the seed apart."""

    preset: str
    start: str
    """`policy.start` of the embedded model, or `policy.model` of any other."""
    nodes: int
    rounds: int
    local: int
    external: int
    completions: int


SEED_RESULTS = {
    Setting("tiny", "C5", 8, 100, 4, 4, 8): (169.3, 222.8, 213.5, 239.2, 176.1),
    Setting("tiny", "C5", 8, 100, 8, 0, 8): (80.66, 94.61, 81.84, 117.4, 115.8),
}
"""Cumulative rewards of this version by seed, 0 to 4; swarm and baseline side by side on two cores of an Intel Xeon."""


def seed_results_text(
    preset: str,
    policy: PolicyConfig,
    nodes: int,
    sizes: ExperimentSizes,
    measured: Mapping[Setting, Sequence[float]] = SEED_RESULTS,
) -> str:
    """A sentence or two on the seed of a run and on what other seeds gave with the same setting.

    Args:
        preset: of the run.
        policy: of the run.
        nodes: of the run.
        sizes: of the run, with its seed.
        measured: known results; those of a swarm and its baseline are of the same seeds in the same order.
    """
    start = policy.start if policy.is_tiny else policy.model
    local, external, seed = sizes.local, sizes.external, f"seed {sizes.seed}"
    setting = Setting(preset, start, nodes, sizes.rounds, local, external, sizes.completions)
    sums, alone = (
        measured.get(one) for one in (setting, replace(setting, local=local + external, external=0))
    )
    if sums is None:
        return f"{seed}; how far other seeds differ was not measured for this setting"
    seeds = f"{len(sums)} seeds of this setting gave a cumulative reward of {_range(sums, 1)}"
    if external == 0 or alone is None:
        return f"{seed}; {seeds}"
    ratios = [s / w for s, w in zip(sums, alone, strict=True)]
    return f"{seed}; {seeds},\n{_range(ratios, 2)} times that of the same swarm without sharing"


def _range(values: Sequence[float], digits: int) -> str:
    low, high, middle = (f"{v:.{digits}f}" for v in (min(values), max(values), mean(values)))
    return f"{low} to {high} (mean {middle})"
