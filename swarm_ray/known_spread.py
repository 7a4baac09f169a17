"""How far results differ between seeds, as measured: one run is one draw, and should not be read as more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from swarm_ray.config import SwarmConfig


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


MEASURED: tuple[Spread, ...] = ()
"""What was measured with this version."""


def spread_text(config: SwarmConfig, measured: Sequence[Spread] = MEASURED) -> str:
    """One line on the seed of a run and on what other seeds gave with the same setting.

    Args:
        config: of the run.
        measured: known spreads.
    """
    found = next((spread for spread in measured if _fits(spread, config)), None)
    if found is None:
        return f"seed {config.seed}; how far other seeds differ was not measured for this setting"
    sums = found.cumulative_rewards
    return (
        f"seed {config.seed}; {len(sums)} seeds of this setting gave a cumulative reward of "
        f"{min(sums):.1f} to {max(sums):.1f} (mean {mean(sums):.1f})"
    )


def _fits(spread: Spread, config: SwarmConfig) -> bool:
    """Whether a spread was measured with the setting of `config`, the seed apart."""
    start = config.policy.start if config.policy.is_tiny else config.policy.model
    theirs = (config.preset, start, config.nodes, config.rounds, config.local, config.external)
    ours = (spread.preset, spread.start, spread.nodes, spread.rounds, spread.local, spread.external)
    return ours == theirs and spread.completions == config.completions
