"""Group advantages: mean zero, the unbiased deviation, groups of any size."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm_ray.sapo.grpo import ZERO_STD, group_advantages, is_zero_advantage, reward_std


@given(st.lists(st.floats(0, 1), min_size=1, max_size=64), st.sampled_from([0.0, 1e-4]))
def test_an_advantage_is_in_unbiased_deviations_from_the_mean(rewards: list[float], epsilon: float) -> None:
    std = statistics.stdev(rewards) if len(rewards) > 1 else 0.0
    assert reward_std(rewards) == pytest.approx(std, abs=1e-12)
    advantages = group_advantages(rewards, epsilon)
    if is_zero_advantage(rewards):
        assert advantages == (0.0,) * len(rewards)
    else:
        mean = statistics.mean(rewards)
        assert advantages == pytest.approx(
            [(r - mean) / (std + epsilon) for r in rewards], rel=1e-6, abs=1e-6
        )


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
