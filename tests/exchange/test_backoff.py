"""Looking again: soon after a change, then ever less often, and never past a deadline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm_ray.exchange.backoff import Backoff


def test_pauses_grow_by_a_tenth_up_to_the_longest_and_start_anew_after_a_change() -> None:
    slept: list[float] = []
    backoff = Backoff(0.1, 0.13, slept.append)
    for _ in range(4):
        backoff.pause()
    backoff.changed()
    backoff.pause()
    assert slept == pytest.approx([0.1, 0.11, 0.121, 0.13, 0.1])


@given(st.lists(st.one_of(st.none(), st.floats(-1, 2)), max_size=60))
def test_no_pause_is_below_zero_or_longer_than_allowed(limits: list[float | None]) -> None:
    slept: list[float] = []
    backoff = Backoff(0.01, 1.0, slept.append)
    for limit in limits:
        backoff.pause(limit)
    for pause, limit in zip(slept, limits, strict=True):
        assert 0 <= pause <= 1.0
        assert limit is None or pause <= max(0.0, limit)
