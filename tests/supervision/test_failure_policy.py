"""Restart or stop: pure."""

import pytest

from swarm_ray.runtime.failure_policy import FailurePolicy, Kind


def death(policy: FailurePolicy, role: str = "trainer-0") -> bool:
    return policy.may_restart(role, Kind.INFRASTRUCTURE)


def test_an_actor_is_restarted_as_often_as_its_budget_allows() -> None:
    policy = FailurePolicy(restarts=3)
    assert [death(policy) for _ in range(5)] == [True] * 3 + [False] * 2


def test_without_a_budget_the_first_death_is_the_end() -> None:
    assert not death(FailurePolicy(restarts=0))


def test_a_finished_round_makes_the_budget_whole() -> None:
    policy = FailurePolicy(restarts=2)
    for _ in range(10):
        assert death(policy)
        assert death(policy)
        policy.progressed("trainer-0")
    assert policy.used("trainer-0") == 0


def test_rounds_of_one_actor_do_not_pay_for_another() -> None:
    policy = FailurePolicy(restarts=1)
    death(policy, "trainer-0")
    death(policy, "trainer-1")
    policy.progressed("trainer-1")
    assert not death(policy, "trainer-0")
    assert death(policy, "trainer-1")


@pytest.mark.parametrize("kind", [Kind.DATA, Kind.USER, Kind.BROKEN])
def test_what_would_happen_again_is_not_tried_again(kind: Kind) -> None:
    policy = FailurePolicy(restarts=5)
    assert not policy.may_restart("trainer-0", kind)
    assert policy.used("trainer-0") == 0


def test_each_restart_waits_twice_as_long_up_to_half_a_minute() -> None:
    policy, pauses = FailurePolicy(restarts=9), []
    for _ in range(8):
        death(policy)
        pauses.append(policy.pause_s("trainer-0"))
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
