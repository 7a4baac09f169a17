"""Why an actor died: one line with its remedy, from Ray's own words; and restart or stop."""

import pickle

import pytest
import recorded_for_tests as recorded

from drive_store import StoreFull, StoreUnavailable
from swarm_ray.errors import (
    MissingResource,
    ModelError,
    NodeFailure,
    NodeTakenError,
    OutOfMemory,
    ScoringError,
    Superseded,
    SwarmStateError,
)
from swarm_ray.machine.actor_errors import ActorDied, ActorRaised, died, raised_in_call
from swarm_ray.machine.process_memory import Sample
from swarm_ray.runtime.failure_causes import explained, kind_of
from swarm_ray.runtime.failure_policy import FailurePolicy, Kind

GB = 1_000_000_000
ROOMY = Sample(resident=2 * GB, available=9 * GB, total=12 * GB)
FULL = Sample(resident=11 * GB, available=GB // 10, total=12 * GB)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (recorded.KILLED, "its worker process has died"),
        (recorded.ENDED_BY_HAND, "it was killed by `ray.kill`"),
        (recorded.UNAVAILABLE, "temporarily unavailable"),
        (recorded.OWNER_DIED, "its owner has died"),
    ],
)
def test_a_process_that_has_gone_is_a_death(text: str, said: str) -> None:
    error = died(text)
    assert type(error) is ActorDied
    assert said in str(error)
    assert "\n" not in str(error)
    assert kind_of(error) is Kind.INFRASTRUCTURE


def test_a_death_with_memory_to_spare_is_no_want_of_memory() -> None:
    error = explained("trainer-0", died(recorded.KILLED), ROOMY)
    assert type(error) is ActorDied
    assert str(error).startswith("trainer-0 died: its worker process has died")
    assert "memory 2.0 GB in the last sample, 9.0 GB of the machine's 12.0 GB were free" in str(error)
    unseen = Sample(resident=None, available=9 * GB, total=12 * GB)
    assert "resident memory unknown" in str(explained("trainer-0", died(recorded.KILLED), unseen))


def test_a_death_on_a_full_machine_is_want_of_memory() -> None:
    error = explained("trainer-0", died(recorded.KILLED), FULL)
    assert type(error) is OutOfMemory
    assert "resident memory 11.0 GB" in str(error)
    assert "host fewer nodes" in str(error)
    assert kind_of(error) is Kind.INFRASTRUCTURE


def test_rays_memory_monitor_is_quoted_with_figures() -> None:
    error = explained("trainer-1", died(recorded.MEMORY_MONITOR), ROOMY)
    assert type(error) is OutOfMemory
    assert str(error).startswith("trainer-1: ended by Ray because 11.92GB of 12.68GB were in use")
    assert "9.61GB by this process" in str(error)
    assert "host fewer nodes" in str(error)


def test_a_missing_module_is_named_and_not_tried_again() -> None:
    error = explained("trainer-0", died(recorded.NO_MODULE), ROOMY)
    assert type(error) is ActorRaised
    assert "No module named 'not_there_at_all'" in str(error)
    assert "Install it" in str(error)
    assert kind_of(error) is Kind.BROKEN


def test_our_own_errors_come_back_as_themselves() -> None:
    assert type(died(recorded.OURS)) is ModelError
    assert str(died(recorded.OURS)) == "'gpt-9' cannot be loaded: no such model"
    assert type(died(recorded.OF_THE_STORE)) is StoreUnavailable
    assert str(died(recorded.TWO_LINES)) == "ValueError: bad thing second line", "one line of theirs"
    full = StoreFull("no space")
    assert explained("logger", raised_in_call(full), ROOMY) is full


def test_a_full_device_names_its_remedies() -> None:
    from_init = died(recorded.DEVICE_FULL)
    from_call = raised_in_call(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    for error in (from_init, from_call):
        assert type(error) is OutOfMemory
        assert "device" in str(error)
        assert "policy.micro_batch_tokens" in str(error)
        assert "policy.generate_batch" in str(error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ModelError("x"), Kind.USER),
        (NodeTakenError("x"), Kind.USER),
        (NodeFailure("x"), Kind.DATA),
        (StoreUnavailable("x"), Kind.INFRASTRUCTURE),
        (ScoringError("x"), Kind.INFRASTRUCTURE),
        (StoreFull("x"), Kind.BROKEN),
        (MissingResource("x"), Kind.BROKEN),
        (Superseded("x"), Kind.BROKEN),
        (SwarmStateError("x"), Kind.BROKEN),
        (raised_in_call(ZeroDivisionError("division by zero")), Kind.BROKEN),
    ],
)
def test_the_kind_of_an_error_decides_what_is_done(error: Exception, kind: Kind) -> None:
    assert kind_of(error) is kind


def test_causes_survive_a_process_boundary() -> None:
    for error in (died(recorded.KILLED), died(recorded.TWO_LINES), died(recorded.MEMORY_MONITOR)):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))


def death(policy: FailurePolicy, role: str = "trainer-0") -> bool:
    return policy.may_restart(role, Kind.INFRASTRUCTURE)


@pytest.mark.parametrize("restarts", [0, 3])
def test_an_actor_is_restarted_as_often_as_its_budget_allows(restarts: int) -> None:
    policy = FailurePolicy(restarts)
    assert [death(policy) for _ in range(5)] == [True] * restarts + [False] * (5 - restarts)


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
