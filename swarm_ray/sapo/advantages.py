"""Group advantages of GRPO (arXiv 2509.08721, section 3): rewards centred and scaled within a group."""

from __future__ import annotations

import math
from collections.abc import Sequence

ZERO_STD = 1e-6
"""A group whose rewards have a standard deviation of at most this carries no advantage."""


def reward_std(rewards: Sequence[float]) -> float:
    """Unbiased standard deviation of a group's rewards; 0.0 for fewer than two."""
    if len(rewards) < 2:
        return 0.0
    mean = math.fsum(rewards) / len(rewards)
    return math.sqrt(math.fsum((r - mean) ** 2 for r in rewards) / (len(rewards) - 1))


def is_zero_advantage(rewards: Sequence[float]) -> bool:
    """Whether a group teaches nothing: all of its rewards are alike."""
    return reward_std(rewards) <= ZERO_STD


def group_advantages(rewards: Sequence[float], epsilon: float) -> list[float]:
    """A_g = (r_g - mean(r)) / (std(r) + epsilon) within a group of any size; zeros for a zero-advantage group."""
    if is_zero_advantage(rewards):
        return [0.0] * len(rewards)
    mean, std = math.fsum(rewards) / len(rewards), reward_std(rewards)
    return [(reward - mean) / (std + epsilon) for reward in rewards]
