import threading

import pytest

from swarm_ray.checkpointing.background import Background, Problems
from swarm_ray.errors import CheckpointError


def test_jobs_are_done_in_order() -> None:
    thread, done = Background("test"), []
    for n in range(20):
        thread.put(lambda n=n: done.append(n))
    assert thread.wait_idle(60)
    assert thread.idle
    assert done == list(range(20))
    assert thread.take_cpu_s() > 0
    assert thread.take_cpu_s() == 0
    thread.close()


def test_waiting_ends_although_a_job_hangs_and_closing_drops_what_waits() -> None:
    thread, goes_on, begun, done = Background("test"), threading.Event(), threading.Event(), []
    thread.put(lambda: (begun.set(), goes_on.wait()))
    thread.put(lambda: done.append("late"))
    assert begun.wait(60)
    assert not thread.wait_idle(0.01)
    assert not thread.idle
    thread.close()
    thread.close()
    goes_on.set()
    assert thread.wait_idle(60)
    assert done == []
    with pytest.raises(CheckpointError, match="closed"):
        thread.put(lambda: None)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_the_program_is_told_at_the_next_call() -> None:
    thread = Background("test")
    thread.put(lambda: {}["no such key"])
    thread._thread.join(60)
    assert thread.wait_idle(60)
    with pytest.raises(CheckpointError, match=r"test thread has ended.*no such key"):
        thread.put(lambda: None)


def test_troubles_are_told_once_per_change() -> None:
    told: list[tuple[str, str]] = []
    problems = Problems(lambda node, text: told.append((node, text)))
    problems.well("a", "upload")
    for kind in ("full", "full", "gone", "full"):
        problems.trouble("a", "upload", kind, f"it is {kind}")
    problems.trouble("b", "upload", "full", "it is full")
    for _ in range(2):
        problems.well("a", "upload")
    assert told == [
        ("a", "it is full"),
        ("a", "it is gone"),
        ("a", "it is full"),
        ("b", "it is full"),
        ("a", "the upload works again"),
    ]
