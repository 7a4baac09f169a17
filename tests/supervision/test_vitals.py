"""Memory of processes, sampled while they live."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil

from swarm_ray.machine.process_memory import Vitals


def test_memory_is_known_after_a_process_has_gone() -> None:
    vitals = Vitals()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        vitals.follow("trainer-0", process.pid)
        assert vitals.sample(0.0) == []
        process.kill()
    assert vitals.sample(10.0) == ["trainer-0"]
    assert vitals.sample(20.0) == []
    seen = vitals.last("trainer-0")
    assert seen.resident is not None
    assert 0 < seen.resident < seen.total
    assert seen.total == psutil.virtual_memory().total


def test_a_process_that_nobody_waited_for_has_gone_too() -> None:
    vitals = Vitals()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    vitals.follow("trainer-0", process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert vitals.sample(0.0) == ["trainer-0"]
    process.communicate()


def test_samples_are_taken_about_every_second() -> None:
    vitals = Vitals()
    vitals.sample(100.0)
    vitals.follow("trainer-0", os.getpid())
    assert vitals.last("trainer-0").resident is not None
    assert vitals.last("trainer-1").resident is None
    vitals.forget("trainer-0")
    assert vitals.sample(100.5) == []


def test_one_that_has_gone_already_is_found_so() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    vitals = Vitals()
    vitals.follow("trainer-0", process.pid)
    assert vitals.last("trainer-0").resident is None
    assert vitals.sample(0.0) == ["trainer-0"]
    assert vitals.sample(10.0) == []


def test_all_that_is_watched_can_be_ended() -> None:
    vitals = Vitals()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    vitals.follow("trainer-0", process.pid)
    vitals.end_all()
    vitals.end_all()
    assert process.wait(20) != 0
    process.communicate()
