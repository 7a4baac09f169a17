"""Memory of processes, sampled while they live."""

import os
import subprocess
import sys

import psutil

from swarm_ray.machine.process_memory import ProcessMemory

WAITING = [sys.executable, "-c", "input()"]


def test_memory_is_known_after_a_process_has_gone() -> None:
    memory = ProcessMemory()
    with subprocess.Popen(WAITING, stdin=subprocess.PIPE) as process:
        memory.follow("trainer-0", process.pid)
        assert memory.sample(0.0) == []
        process.kill()
    assert memory.sample(10.0) == ["trainer-0"]
    assert memory.sample(20.0) == []
    seen = memory.last("trainer-0")
    assert seen.resident is not None
    assert 0 < seen.resident < seen.total
    assert seen.total == psutil.virtual_memory().total


def test_a_process_that_nobody_waited_for_has_gone_too() -> None:
    memory = ProcessMemory()
    process = subprocess.Popen(WAITING, stdin=subprocess.PIPE)
    memory.follow("trainer-0", process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert memory.sample(0.0) == ["trainer-0"]
    process.communicate()


def test_samples_are_taken_about_every_second() -> None:
    memory = ProcessMemory()
    memory.sample(100.0)
    memory.follow("trainer-0", os.getpid())
    assert memory.last("trainer-0").resident is not None
    assert memory.last("trainer-1").resident is None
    memory.forget("trainer-0")
    assert memory.sample(100.5) == []


def test_one_that_has_gone_already_is_found_so() -> None:
    memory = ProcessMemory()
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    memory.follow("trainer-0", process.pid)
    assert memory.last("trainer-0").resident is None
    assert memory.sample(0.0) == ["trainer-0"]
    assert memory.sample(10.0) == []


def test_all_that_is_watched_can_be_ended() -> None:
    memory = ProcessMemory()
    process = subprocess.Popen(WAITING, stdin=subprocess.PIPE)
    memory.follow("trainer-0", process.pid)
    memory.end_all()
    memory.end_all()
    assert process.wait(20) != 0
    process.communicate()
