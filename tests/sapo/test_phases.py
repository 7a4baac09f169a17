"""The clock of phases: what is claimed, what is left over, and a fresh start."""

import contextlib

from spool_for_tests import Clock

from swarm_ray.sapo.phases import OVERHEAD, PHASES, PhaseClock


def test_phases_add_up_to_the_whole_time_and_taking_starts_afresh() -> None:
    hands = Clock()
    clock = PhaseClock(hands)
    with clock.phase("generate"):
        hands.now += 3
    hands.now += 1
    for _ in range(2):
        with clock.phase("score"):
            hands.now += 0.5
    seconds = clock.take()
    assert list(seconds) == list(PHASES)
    assert (seconds["generate"], seconds["score"], seconds["other"], sum(seconds.values())) == (3, 1, 1, 5)
    hands.now += 4
    seconds = clock.take()
    assert (seconds["generate"], seconds["other"]) == (0, 4)


def test_a_phase_that_fails_is_counted() -> None:
    hands = Clock()
    clock = PhaseClock(hands)
    with contextlib.suppress(ZeroDivisionError), clock.phase("gather"):
        hands.now += 2
        raise ZeroDivisionError
    assert clock.take()["gather"] == 2


def test_waiting_is_no_overhead() -> None:
    assert set(OVERHEAD) < set(PHASES)
    assert "wait" not in OVERHEAD
