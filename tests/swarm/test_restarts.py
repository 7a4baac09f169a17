"""Whatever process is killed, the run goes on: every round closes, and every row is logged once."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
import ray
from restarts_for_tests import events_of, watch_until_round
from swarm_for_tests import actor_pid, closed_stages, descendants, records_of, small_config

from swarm_ray import Swarm
from swarm_ray.experiments import experiment_metrics, experiment_status

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]
ROUNDS = 60
KILLED = {
    "LoggerShell": "logger",
    "DiscoveryShell": "discovery",
    "TrainerShell": "trainer-0",
    "CoordinatorShell": "coordinator",
}


def test_every_actor_is_killed_in_turn_and_nothing_is_lost(root: str) -> None:
    config = small_config(rounds=ROUNDS, alarm_rounds=500, evaluation__questions=0, pace__dead_after_s=60)
    swarm = Swarm(config, root, "struck", show=False).start()
    try:
        for number, shell in enumerate(KILLED):
            watch_until_round(swarm, 2 + 10 * number)
            pid = actor_pid(shell)
            children = descendants(pid)
            os.kill(pid, signal.SIGKILL)
            assert psutil.wait_procs(children, timeout=20)[1] == []  # a scoring process ends with its trainer
        swarm.wait()
    finally:
        swarm.stop()
    assert (swarm.exit_code, swarm.message) == (0, "struck is done")
    assert [stage.round for stage in closed_stages(root, "struck")] == list(range(ROUNDS))
    assert records_of(root, "struck")[-1].state == "finished"
    assert all(node.problem is None for node in experiment_status(root, "struck").nodes)
    rows = sorted((row.node, row.step) for row in experiment_metrics(root, "struck"))
    assert rows == [(node, step) for node in ("node-0", "node-1") for step in range(ROUNDS)]
    said = " ".join(event.text for event in events_of(root, "restarted"))
    for role in KILLED.values():
        assert f"{role} died" in said
    assert "resident memory" in said
    assert ray.util.list_named_actors(all_namespaces=True) == []
