"""The clipped surrogate against a plain reference, token by token, and the direction of its gradient."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swarm_ray.sapo.grpo import clipped_surrogate

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
    loss, bound = clipped_surrogate(
        logprobs, torch.zeros(1, dtype=torch.float64), torch.tensor([advantage]), LOW, HIGH
    )
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
