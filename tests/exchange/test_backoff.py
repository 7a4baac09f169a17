"""Looking again: soon after a change, then ever less often, and never past a deadline."""

from __future__ import annotations

import pytest

from swarm_ray.exchange.backoff import Backoff


def test_pauses_grow_by_a_tenth_up_to_the_longest_and_start_anew_after_a_change() -> None:
    slept: list[float] = []
    backoff = Backoff(0.1, 0.13, slept.append)
    for _ in range(4):
        backoff.pause()
    backoff.changed()
    backoff.pause()
    assert slept == pytest.approx([0.1, 0.11, 0.121, 0.13, 0.1])
    backoff.pause(0.05)
    backoff.pause(-1.0)
    assert slept[-2:] == [0.05, 0.0], "never past a deadline"
