"""The clock of phases: what is claimed, what is left over, and a fresh start."""

from __future__ import annotations

import pytest

from swarm_ray.sapo.phases import OVERHEAD, PHASES, PhaseClock


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_phases_add_up_to_the_whole_time() -> None:
    hands = Hands()
    clock = PhaseClock(hands)
    with clock.phase("generate"):
        hands.now += 3
    hands.now += 1
    for _ in range(2):
        with clock.phase("score"):
            hands.now += 0.5
    seconds = clock.take()
    assert list(seconds) == list(PHASES)
    assert seconds["generate"] == 3
    assert seconds["score"] == 1
    assert seconds["other"] == 1
    assert sum(seconds.values()) == 5


def test_taking_starts_afresh() -> None:
    hands = Hands()
    clock = PhaseClock(hands)
    with clock.phase("update"):
        hands.now += 2
    clock.take()
    hands.now += 4
    seconds = clock.take()
    assert seconds["update"] == 0
    assert seconds["other"] == 4


def test_a_phase_that_fails_is_counted() -> None:
    hands = Hands()
    clock = PhaseClock(hands)

    def fail() -> None:
        with clock.phase("gather"):
            hands.now += 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert clock.take()["gather"] == 2


def test_waiting_is_no_overhead() -> None:
    assert set(OVERHEAD) < set(PHASES)
    assert "wait" not in OVERHEAD
