from spool_for_tests import Clock

from swarm_ray.checkpointing.writer import SHARE, CheckpointPace


def test_every_so_many_rounds() -> None:
    pace, taken = CheckpointPace(3, Clock()), []
    for number in range(1, 13):
        pace.round_ended()
        pace.spent(1e9)
        if pace.due and number != 9:  # one that could not be taken stays due
            pace.taken()
            taken.append(number)
    assert taken == [3, 6, 10]


def test_auto_costs_no_more_than_its_share() -> None:
    clock = Clock()
    pace = CheckpointPace("auto", clock)
    began, cost = clock.now, 0.0
    for number in range(2000):
        pace.round_ended()
        if pace.due:
            pace.taken()
            pace.spent(0.05)
            cost += 0.05
        if number % 7 == 0:  # an upload runs beside it
            pace.spent(0.01)
            cost += 0.01
        clock.now += 1.0
    assert cost - 0.05 <= SHARE * (clock.now - began)
    assert cost >= 0.8 * SHARE * (clock.now - began)


def test_auto_takes_the_first_and_all_that_cost_nothing() -> None:
    clock = Clock()
    pace = CheckpointPace("auto", clock)
    assert pace.due
    pace.taken()
    assert pace.due
    pace.spent(0.1)
    assert not pace.due
    clock.now += 5.1
    assert pace.due
