"""Group advantages: mean zero, the unbiased deviation, groups of any size."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm_ray.sapo.grpo import ZERO_STD, group_advantages, is_zero_advantage, reward_std

rewards_of_any_size = st.lists(st.floats(0, 1), min_size=1, max_size=64)


@given(rewards_of_any_size)
def test_advantages_of_a_group_add_up_to_zero(rewards: list[float]) -> None:
    advantages = group_advantages(rewards, 1e-4)
    assert len(advantages) == len(rewards)
    assert sum(advantages) == pytest.approx(0, abs=1e-6)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=64))
def test_the_deviation_is_the_unbiased_one(rewards: list[float]) -> None:
    assert reward_std(rewards) == pytest.approx(statistics.stdev(rewards), abs=1e-12)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=32))
def test_without_epsilon_a_group_is_scaled_to_one(rewards: list[float]) -> None:
    advantages = group_advantages(rewards, 0.0)
    if is_zero_advantage(rewards):
        assert advantages == (0.0,) * len(rewards)
    else:
        assert statistics.stdev(advantages) == pytest.approx(1.0)


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


@given(rewards_of_any_size)
def test_the_order_of_completions_does_not_matter(rewards: list[float]) -> None:
    order = sorted(range(len(rewards)), key=lambda i: (rewards[i], i))
    there = group_advantages([rewards[i] for i in order], 1e-4)
    here = group_advantages(rewards, 1e-4)
    assert there == pytest.approx([here[i] for i in order])


@given(st.lists(st.sampled_from([0.0, 0.3, 1.0]), min_size=2, max_size=32))
def test_the_better_answer_has_the_higher_advantage(rewards: list[float]) -> None:
    advantages = group_advantages(rewards, 1e-4)
    ranked = sorted(zip(rewards, advantages, strict=True))
    assert [a for _, a in ranked] == sorted(advantages)
