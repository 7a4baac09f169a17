"""Cumulative rewards against each other, and those of the paper: the one rule by which two runs have a ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Earned(Protocol):
    """What a run earned, and what that was summed over; `experiments.Comparison` is one."""

    @property
    def cumulative_reward(self) -> float:
        """Sum over nodes and rounds of the mean raw reward of own completions."""

    @property
    def nodes(self) -> int:
        """Nodes that were summed over."""

    @property
    def rounds(self) -> int:
        """Rounds that were summed over."""


@dataclass(frozen=True)
class RewardSum:
    """A cumulative reward by itself."""

    cumulative_reward: float
    nodes: int
    rounds: int


PAPER = {
    split: RewardSum(reward, 8, 2000)
    for split, reward in {"8/0": 561.79, "6/2": 854.43, "4/4": 1093.31, "2/6": 945.87}.items()
}
"""I/J to what the paper's swarm earned (SAPO, arXiv 2509.08721, table 1; one seed)."""


def ratio_to(one: Earned | None, baseline: Earned | None) -> float | None:
    """Cumulative reward over the baseline's.

    None unless both are there and were summed over as many nodes and rounds, and the baseline earned something.
    """
    if one is None or baseline is None or (one.nodes, one.rounds) != (baseline.nodes, baseline.rounds):
        return None
    earned = baseline.cumulative_reward
    return one.cumulative_reward / earned if earned > 0 else None
