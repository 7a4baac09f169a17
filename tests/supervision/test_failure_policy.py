"""Restart, skip or stop: pure."""

from __future__ import annotations

import pytest

from swarm_ray.runtime.failure_policy import Decision, Failure, FailurePolicy, Kind


def death(role: str = "trainer-0") -> Failure:
    return Failure(Kind.INFRASTRUCTURE, role, "it died")


def test_an_actor_is_restarted_as_often_as_its_budget_allows() -> None:
    policy = FailurePolicy(restarts=3)
    assert [policy.decide(death()) for _ in range(5)] == [Decision.RESTART] * 3 + [Decision.STOP] * 2


def test_without_a_budget_the_first_death_is_the_end() -> None:
    assert FailurePolicy(restarts=0).decide(death()) is Decision.STOP


def test_a_finished_round_makes_the_budget_whole() -> None:
    policy = FailurePolicy(restarts=2)
    for _ in range(10):
        assert policy.decide(death()) is Decision.RESTART
        assert policy.decide(death()) is Decision.RESTART
        policy.progressed("trainer-0")
    assert policy.used("trainer-0") == 0


def test_rounds_of_one_actor_do_not_pay_for_another() -> None:
    policy = FailurePolicy(restarts=1)
    policy.decide(death("trainer-0"))
    policy.decide(death("trainer-1"))
    policy.progressed("trainer-1")
    assert policy.decide(death("trainer-0")) is Decision.STOP
    assert policy.decide(death("trainer-1")) is Decision.RESTART


@pytest.mark.parametrize("kind", [Kind.USER, Kind.BROKEN])
def test_what_would_happen_again_is_not_tried_again(kind: Kind) -> None:
    assert FailurePolicy(restarts=5).decide(Failure(kind, "trainer-0", "no such model")) is Decision.STOP


def test_a_lost_node_is_skipped_and_the_last_one_ends_the_run() -> None:
    policy = FailurePolicy(restarts=0)
    assert [policy.decide(Failure(Kind.DATA, "trainer-0", "x", left)) for left in (2, 1, 0)] == [
        Decision.SKIP,
        Decision.SKIP,
        Decision.STOP,
    ]


def test_data_failures_cost_no_restarts() -> None:
    policy = FailurePolicy(restarts=1)
    for _ in range(5):
        policy.decide(Failure(Kind.DATA, "trainer-0", "x", 1))
    assert policy.decide(death()) is Decision.RESTART


def test_each_restart_waits_twice_as_long_up_to_half_a_minute() -> None:
    policy, pauses = FailurePolicy(restarts=9), []
    for _ in range(8):
        policy.decide(death())
        pauses.append(policy.pause_s("trainer-0"))
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
