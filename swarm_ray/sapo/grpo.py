"""The clipped surrogate of GRPO as SAPO uses it (arXiv 2509.08721, section 3): asymmetric clip, no KL term.

With one optimizer step per round the old policy is the current one, so the ratio is 1 and the clip never acts; the
clip share in the metrics says so.
"""

from __future__ import annotations

import torch


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
    ratio = torch.exp(logprobs - old_logprobs)
    free = ratio * advantages
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    return -torch.minimum(free, clipped).sum(), (clipped < free).sum()
