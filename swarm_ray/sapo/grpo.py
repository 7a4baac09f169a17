"""GRPO as SAPO uses it (arXiv 2509.08721, section 3): group advantages and the clipped surrogate, without a KL term.

For the completions g of one question, with rewards r_g and the ratio rho of a token's probabilities now and when the
round began:

    A_g  = (r_g - mean(r)) / (std(r) + epsilon)
    loss = mean over the batch's tokens of -min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A)

With one optimizer step per round the old policy is the current one, so the ratio is 1 and the clip never acts; the
clip share in the metrics says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from swarm_ray.config.schema import GrpoConfig

if TYPE_CHECKING:
    import torch

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


def group_advantages(rewards: Sequence[float], epsilon: float) -> tuple[float, ...]:
    """A_g = (r_g - mean(r)) / (std(r) + epsilon) within a group of any size; zeros for a zero-advantage group."""
    if is_zero_advantage(rewards):
        return (0.0,) * len(rewards)
    mean, std = math.fsum(rewards) / len(rewards), reward_std(rewards)
    return tuple((reward - mean) / (std + epsilon) for reward in rewards)


def clipped_surrogate(
    logprobs: torch.Tensor,
    old_logprobs: torch.Tensor,
    advantages: torch.Tensor,
    clip_low: float,
    clip_high: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum over tokens of -min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A), and how many tokens the clip bound.

    Args:
        logprobs: log-probabilities of the tokens under the policy, shape [tokens].
        old_logprobs: the same under the policy of the round's start, without gradient, shape [tokens].
        advantages: the advantage of each token's completion, shape [tokens].
        clip_low: the ratio is clipped below 1 - clip_low.
        clip_high: the ratio is clipped above 1 + clip_high.

    Returns:
        The summed loss (the caller divides by the batch's tokens: token mean) and the count of clipped tokens.
    """
    ratio = (logprobs - old_logprobs).exp()
    free = ratio * advantages
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    return -free.minimum(clipped).sum(), (clipped < free).sum()


def grpo_loss(
    config: GrpoConfig,
) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """The loss that a policy is given for an update: the surrogate with the configured clip."""
    return partial(clipped_surrogate, clip_low=config.clip_low, clip_high=config.clip_high)
