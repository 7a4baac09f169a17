"""T9: whatever dies or breaks, the run ends by itself, as failed, and names the cause."""

import os
import signal
import time
from collections import Counter

import psutil
import pytest
import ray
from swarm_for_tests import (
    actor_pid,
    closed_stages,
    descendants,
    records_of,
    small_config,
    wait_for_round,
    with_long_question_for,
)

from swarm_ray import Swarm, simulate
from swarm_ray.experiments import experiment_metrics, experiment_status

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]
ENDLESS = {"rounds": 500, "alarm_rounds": 500, "evaluation__questions": 0, "supervision__restarts": 0}


def killed(root: str, shell: str) -> Swarm:
    """A swarm without a budget for restarts that lost a process to SIGKILL in the middle, after its end."""
    swarm = Swarm(small_config(**ENDLESS), root, "struck", show=False).start()
    try:
        wait_for_round(swarm, 1)
        pid = actor_pid(shell)
        children = descendants(pid)
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        swarm.wait()
    finally:
        swarm.stop()
    assert time.monotonic() - began < 60
    assert psutil.wait_procs(children, timeout=20)[1] == []  # a trainer's scoring process ends with it
    assert swarm.exit_code == 1
    assert "died" in swarm.message
    assert all("died" in str(node.problem) for node in experiment_status(root, "struck").nodes)
    assert ray.util.list_named_actors(all_namespaces=True) == []
    return swarm


def test_a_logger_that_is_killed_fails_the_run(root: str) -> None:
    """Of a trainer `tests/kills/test_crashed_run.py` says so."""
    assert "struck failed" in killed(root, "LoggerShell").message
    status = experiment_status(root, "struck")
    assert status.state == "failed"
    assert "died" in status.note
    assert [r.state for r in records_of(root, "struck")].count("failed") == 1
    assert len(closed_stages(root, "struck")) >= 1


def test_a_coordinator_that_is_killed_fails_the_run(root: str) -> None:
    killed(root, "CoordinatorShell")
    assert experiment_status(root, "struck").state not in {"finished", "stopped"}
    assert records_of(root, "struck")[-1].state == "running"


@pytest.mark.repeats
def test_a_node_whose_data_fail_is_named_and_the_others_complete(root: str) -> None:
    """As `tests/actors/test_failures_in_process.py` shows, and with the status of the whole."""
    config = with_long_question_for(small_config(nodes=3, trainers=2), "node-1", 1)
    swarm = simulate(config, root, "maimed", show=False)
    assert swarm.exit_code == 1
    assert "node-1 failed" in swarm.message
    assert "context" in swarm.message
    rounds = Counter(row.node for row in experiment_metrics(root, "maimed"))
    assert rounds == {"node-0": 3, "node-1": 1, "node-2": 3}


def test_a_swarm_whose_nodes_all_fail_ends_as_failed(root: str) -> None:
    """Weights that overflow after the first step: the next answers cannot be sampled."""
    swarm = simulate(small_config(grpo__learning_rate=1e30, rounds=50), root, "burst", show=False)
    assert swarm.exit_code == 1
    assert "every node failed" in swarm.message
    assert "finite" in swarm.message
    status = experiment_status(root, "burst")
    assert status.state == "failed"
    assert all("finite" in str(node.problem) for node in status.nodes)


def test_a_mistake_in_a_users_task_ends_the_run_as_failed(root: str) -> None:
    broken = {"name": "broken", "options": {"at": 500}}
    few = {"evaluation__questions": 0, "tasks__held_out": 0, "local": 8}
    config = small_config(tasks__specialties=[broken], rounds=400, **few)
    swarm = simulate(config, root, "broken", show=False)
    assert swarm.exit_code == 1
    assert "ZeroDivisionError" in swarm.message
    status = experiment_status(root, "broken")
    assert status.state == "failed"
    assert "ZeroDivisionError" in status.note
