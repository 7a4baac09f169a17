"""When a stage is over: never empty, never reopened by waiting, and by each strategy's own rule."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.coordinator.closing import stage_is_over
from swarm_ray.config.schema import PaceConfig

paces = st.builds(
    lambda strategy, share, low, more: PaceConfig(
        strategy=strategy, share=share, min_s=low, max_s=low + more
    ),
    st.sampled_from(["completion", "time", "hybrid"]),
    st.floats(0.01, 1),
    st.floats(0, 50),
    st.floats(0.1, 50),
)


@given(paces, st.integers(0, 8), st.integers(0, 8), st.integers(0, 8), st.floats(0, 200), st.floats(0, 100))
def test_each_strategy_closes_by_its_own_rule(
    pace: PaceConfig, accepted: int, rejected: int, pending: int, seconds: float, more: float
) -> None:
    submitted = accepted + rejected
    living = submitted + pending

    def over(living: int = living, accepted: int = accepted, seconds: float = seconds) -> bool:
        return stage_is_over(pace, living=living, submitted=submitted, accepted=accepted, seconds=seconds)

    assert not over(accepted=0), "a stage with nothing in it stays open"
    assert over(seconds=pace.max_s) == (accepted > 0), "after the longest time anything is enough"
    assert not over() or over(seconds=seconds + more), "waiting never opens it again"
    assert not over() or over(living=max(submitted, living - 1)), "a death never holds it up"
    early, enough = min(seconds, pace.max_s / 2), submitted >= math.ceil(pace.share * living)
    expected = {"completion": enough, "hybrid": enough and early >= pace.min_s, "time": False}
    assert over(seconds=early) == (accepted > 0 and expected[pace.strategy])


@pytest.mark.parametrize(
    ("share", "submitted", "over"),
    [(1.0, 3, False), (1.0, 4, True), (0.5, 1, False), (0.5, 2, True), (0.51, 2, False), (0.01, 1, True)],
)
def test_a_share_of_four_living_members(share: float, submitted: int, over: bool) -> None:
    pace = PaceConfig(strategy="completion", share=share)
    assert stage_is_over(pace, living=4, submitted=submitted, accepted=submitted, seconds=1.0) == over
