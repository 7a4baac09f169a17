"""Results to compare with: cumulative rewards of the paper, and of other seeds of a preset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.experiments import Comparison


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
class Reference:
    """Cumulative rewards of one setting under several seeds."""

    preset: str
    start: str
    """`policy.start` of the embedded model, or `policy.model` of any other."""
    nodes: int
    rounds: int
    local: int
    external: int
    completions: int
    cumulative_rewards: tuple[float, ...]
    """One per seed."""


SEED_RESULTS = (
    Reference("tiny", "C5", 8, 100, 4, 4, 8, (169.3, 222.8, 213.5, 239.2, 176.1)),
    Reference("tiny", "C5", 8, 100, 8, 0, 8, (80.66, 94.61, 81.84, 117.4, 115.8)),
)
"""What was measured with this version: seeds 0 to 4, swarm and baseline side by side on two cores of an Intel Xeon."""


def seed_results_text(config: SwarmConfig, measured: Sequence[Reference] = SEED_RESULTS) -> str:
    """A sentence or two on the seed of a run and on what other seeds gave with the same setting.

    Args:
        config: of the run.
        measured: known results; those of a swarm and its baseline are of the same seeds in the same order.
    """
    found = next((reference for reference in measured if _fits(reference, config)), None)
    if found is None:
        return f"seed {config.seed}; how far other seeds differ was not measured for this setting"
    sums = found.cumulative_rewards
    text = (
        f"seed {config.seed}; {len(sums)} seeds of this setting gave a cumulative reward of {_range(sums, 1)}"
    )
    alone = config.model_copy(update={"local": config.local + config.external, "external": 0})
    without = next((reference for reference in measured if _fits(reference, alone)), None)
    if config.external == 0 or without is None:
        return text
    ratios = [s / w for s, w in zip(sums, without.cumulative_rewards, strict=True)]
    return f"{text},\n{_range(ratios, 2)} times that of the same swarm without sharing"


def _range(values: Sequence[float], digits: int) -> str:
    low, high, middle = (f"{v:.{digits}f}" for v in (min(values), max(values), mean(values)))
    return f"{low} to {high} (mean {middle})"


def _fits(reference: Reference, config: SwarmConfig) -> bool:
    """Whether a reference was measured with the setting of `config`, the seed apart."""
    start = config.policy.start if config.policy.is_tiny else config.policy.model
    theirs = (config.preset, start, config.nodes, config.rounds, config.local, config.external)
    ours = (
        reference.preset,
        reference.start,
        reference.nodes,
        reference.rounds,
        reference.local,
        reference.external,
    )
    return ours == theirs and reference.completions == config.completions
