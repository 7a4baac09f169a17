"""Stop, pause and resume, asked through the folder and answered in the state log by a real coordinator."""

import time
from pathlib import Path

import pytest
from actors_for_tests import OneProcessSwarm, until
from swarm_for_tests import records_of, small_config

from swarm_ray.errors import SwarmStateError
from swarm_ray.experiments import experiment_status
from swarm_ray.experiments.control import ask_coordinator


def test_a_swarm_is_paused_resumed_and_stopped_from_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "My Drive"
    config = small_config(nodes=2, rounds=500, pace__expect=2, pace__beat_s=0.2, pace__alone_after_s=1.0)
    swarm = OneProcessSwarm(root, config, [["node-0", "node-1"]])
    with swarm:
        until(lambda: swarm.coordinator.status().round >= 2)
        assert "paused" in ask_coordinator(str(root), "small", "pause")
        until(lambda: experiment_status(str(root), "small").state == "paused")
        paused = experiment_status(str(root), "small").round
        time.sleep(1.5)  # longer than alone_after_s: a paused swarm is not left alone
        status = experiment_status(str(root), "small")
        assert (status.round, status.state) == (paused, "paused")
        assert not any(node.alone for node in status.nodes)
        assert "nothing to do" in ask_coordinator(str(root), "small", "pause")
        assert "resume" in ask_coordinator(str(root), "small", "resume")
        until(lambda: swarm.coordinator.status().round >= paused + 2)
        assert "stopped" in ask_coordinator(str(root), "small", "stop")
        assert swarm.state() == "stopped"
        assert all("stopped" in result.stopped for result in swarm.results())
    assert "nothing to do" in ask_coordinator(str(root), "small", "resume")
    replies = [reply for record in records_of(root, "small") for reply in record.replies.values()]
    assert len(replies) == 4


def test_with_no_coordinator_the_request_stays(tmp_path: Path) -> None:
    root = tmp_path / "My Drive"
    swarm = OneProcessSwarm(root, small_config(nodes=1, external=0), [])
    with pytest.raises(SwarmStateError, match=r"no coordinator.*the request stays.*swarm-ray coordinate"):
        ask_coordinator(str(root), "small", "stop", within_s=0.2)
    assert len(list((root / swarm.address.paths.requests_folder).iterdir())) == 1
    assert swarm.coordinator.run() == "stopped"
