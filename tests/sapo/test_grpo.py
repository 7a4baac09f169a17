"""Group advantages, and the clipped surrogate against a plain reference, token by token, with its gradient."""

import math
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swarm_ray.sapo.grpo import ZERO_STD, clipped_surrogate, group_advantages, is_zero_advantage, reward_std

LOW, HIGH = 0.2, 0.28
tokens = st.lists(st.tuples(st.floats(-5, 0), st.floats(-5, 0), st.floats(-3, 3)), min_size=1, max_size=40)


def plainly(rows: list[tuple[float, float, float]]) -> tuple[float, int]:
    """Loss and clipped tokens, one token after the other."""
    loss, bound = 0.0, 0
    for logprob, old, advantage in rows:
        ratio = math.exp(logprob - old)
        kept = min(max(ratio, 1 - LOW), 1 + HIGH)
        loss -= min(ratio * advantage, kept * advantage)
        bound += kept * advantage < ratio * advantage
    return loss, bound


def surrogate(rows: list[tuple[float, float, float]]) -> tuple[torch.Tensor, torch.Tensor]:
    logprobs, old, advantages = torch.tensor(rows, dtype=torch.float64).unbind(1)
    return clipped_surrogate(logprobs, old, advantages, LOW, HIGH)


@given(tokens)
def test_loss_and_clipped_tokens_are_those_of_the_reference(rows: list[tuple[float, float, float]]) -> None:
    loss, bound = surrogate(rows)
    expected, clipped = plainly(rows)
    assert loss.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert bound.item() == clipped


@pytest.mark.parametrize(
    ("ratio", "advantage", "kept"),
    [
        (1.5, 1.0, 1.28),  # a likelier good answer: bound from above
        (0.5, -1.0, 0.8),  # a less likely bad answer: bound from below
        (1.5, -1.0, 1.5),  # moves away from the right side are never bound
        (0.5, 1.0, 0.5),
        (1.27, 1.0, 1.27),
        (0.81, -1.0, 0.81),
    ],
)
def test_the_clip_binds_on_both_sides_where_it_helps(ratio: float, advantage: float, kept: float) -> None:
    logprobs = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    old = torch.zeros(1, dtype=torch.float64)
    loss, bound = clipped_surrogate(logprobs, old, torch.tensor([advantage]), LOW, HIGH)
    (gradient,) = torch.autograd.grad(loss, logprobs)
    assert loss.item() == pytest.approx(-kept * advantage)
    assert bound.item() == (kept != ratio)
    assert gradient.item() == pytest.approx(0.0 if kept != ratio else -ratio * advantage)


def test_with_one_step_a_round_the_gradient_is_that_of_the_policy_gradient() -> None:
    logits = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    chosen, advantages = torch.tensor([0, 2]), torch.tensor([1.0, -2.0], dtype=torch.float64)
    logprobs = logits.log_softmax(0)[chosen]
    loss, bound = clipped_surrogate(logprobs, logprobs.detach(), advantages, LOW, HIGH)
    (found,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (expected,) = torch.autograd.grad(-(logprobs * advantages).sum(), logits)
    assert bound.item() == 0
    assert torch.allclose(found, expected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=64), st.sampled_from([0.0, 1e-4]))
def test_an_advantage_is_in_unbiased_deviations_from_the_mean(rewards: list[float], epsilon: float) -> None:
    std = statistics.stdev(rewards) if len(rewards) > 1 else 0.0
    assert reward_std(rewards) == pytest.approx(std, abs=1e-12)
    advantages = group_advantages(rewards, epsilon)
    if is_zero_advantage(rewards):
        assert advantages == (0.0,) * len(rewards)
    else:
        mean = statistics.mean(rewards)
        expected = [(r - mean) / (std + epsilon) for r in rewards]
        assert advantages == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_a_group_of_one_right_answer_in_eight() -> None:
    std = math.sqrt((7 * (1 / 8) ** 2 + (7 / 8) ** 2) / 7)
    right, *wrong = group_advantages([1.0] + [0.0] * 7, 1e-4)
    assert right == pytest.approx((7 / 8) / (std + 1e-4))
    assert wrong == pytest.approx([-(1 / 8) / (std + 1e-4)] * 7)


@pytest.mark.parametrize("rewards", [[], [1.0], [0.0, 0.0], [0.7] * 9, [0.5, 0.5 + ZERO_STD / 2]])
def test_equal_rewards_carry_no_advantage(rewards: list[float]) -> None:
    assert is_zero_advantage(rewards)
    assert group_advantages(rewards, 1e-4) == (0.0,) * len(rewards)
    assert not is_zero_advantage([0.5, 0.5 + 3 * ZERO_STD])
