"""When a stage is over: never empty, never reopened by waiting, and by each strategy's own rule."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.coordinator.closing import Observed, stage_is_over
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


@st.composite
def sights(draw: st.DrawFn) -> Observed:
    submitted = draw(st.integers(0, 8))
    living = submitted + draw(st.integers(0, 8))
    return Observed(living, submitted, draw(st.integers(0, submitted)), draw(st.floats(0, 200)))


@given(paces, sights())
def test_a_stage_with_nothing_in_it_stays_open(pace: PaceConfig, seen: Observed) -> None:
    assert not stage_is_over(pace, dataclasses.replace(seen, accepted=0))


@given(paces, sights())
def test_after_the_longest_time_anything_is_enough(pace: PaceConfig, seen: Observed) -> None:
    late = dataclasses.replace(seen, seconds=pace.max_s)
    assert stage_is_over(pace, late) == (seen.accepted > 0)


@given(paces, sights(), st.floats(0, 100))
def test_waiting_never_opens_it_again(pace: PaceConfig, seen: Observed, more: float) -> None:
    later = dataclasses.replace(seen, seconds=seen.seconds + more)
    assert not stage_is_over(pace, seen) or stage_is_over(pace, later)


@given(paces, sights())
def test_a_death_never_holds_it_up(pace: PaceConfig, seen: Observed) -> None:
    fewer = dataclasses.replace(seen, living=max(seen.submitted, seen.living - 1))
    assert not stage_is_over(pace, seen) or stage_is_over(pace, fewer)


@given(paces, sights())
def test_before_the_longest_time_the_strategy_decides(pace: PaceConfig, seen: Observed) -> None:
    early = dataclasses.replace(
        seen, accepted=max(1, seen.accepted), seconds=min(seen.seconds, pace.max_s / 2)
    )
    enough = early.submitted >= math.ceil(pace.share * early.living)
    expected = {
        "completion": enough,
        "hybrid": enough and early.seconds >= pace.min_s,
        "time": False,
    }[pace.strategy]
    assert stage_is_over(pace, early) == expected


@pytest.mark.parametrize(
    ("share", "submitted", "over"),
    [(1.0, 3, False), (1.0, 4, True), (0.5, 1, False), (0.5, 2, True), (0.51, 2, False), (0.01, 1, True)],
)
def test_a_share_of_four_living_members(share: float, submitted: int, over: bool) -> None:
    pace = PaceConfig(strategy="completion", share=share)
    assert stage_is_over(pace, Observed(4, submitted, submitted, 1.0)) == over
