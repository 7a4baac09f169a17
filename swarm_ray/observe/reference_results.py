"""How far results differ between seeds, as measured: one run is one draw, and should not be read as more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from swarm_ray.config.schema import SwarmConfig


@dataclass(frozen=True)
class Spread:
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


MEASURED = (
    Spread("tiny", "C5", 8, 100, 4, 4, 8, (173.1, 207.8, 227.4, 227.6, 173.6)),
    Spread("tiny", "C5", 8, 100, 8, 0, 8, (77.2, 92.0, 84.8, 112.9, 114.2)),
)
"""What was measured with this version: seeds 0 to 4, swarm and baseline side by side on two cores."""


def spread_text(config: SwarmConfig, measured: Sequence[Spread] = MEASURED) -> str:
    """A sentence or two on the seed of a run and on what other seeds gave with the same setting.

    Args:
        config: of the run.
        measured: known spreads; those of a swarm and its baseline are of the same seeds in the same order.
    """
    found = next((spread for spread in measured if _fits(spread, config)), None)
    if found is None:
        return f"seed {config.seed}; how far other seeds differ was not measured for this setting"
    sums = found.cumulative_rewards
    text = (
        f"seed {config.seed}; {len(sums)} seeds of this setting gave a cumulative reward of {_range(sums, 1)}"
    )
    alone = config.model_copy(update={"local": config.local + config.external, "external": 0})
    without = next((spread for spread in measured if _fits(spread, alone)), None)
    if config.external == 0 or without is None:
        return text
    ratios = [s / w for s, w in zip(sums, without.cumulative_rewards, strict=True)]
    return f"{text},\n{_range(ratios, 2)} times that of the same swarm without sharing"


def _range(values: Sequence[float], digits: int) -> str:
    low, high, middle = (f"{v:.{digits}f}" for v in (min(values), max(values), mean(values)))
    return f"{low} to {high} (mean {middle})"


def _fits(spread: Spread, config: SwarmConfig) -> bool:
    """Whether a spread was measured with the setting of `config`, the seed apart."""
    start = config.policy.start if config.policy.is_tiny else config.policy.model
    theirs = (config.preset, start, config.nodes, config.rounds, config.local, config.external)
    ours = (spread.preset, spread.start, spread.nodes, spread.rounds, spread.local, spread.external)
    return ours == theirs and spread.completions == config.completions
