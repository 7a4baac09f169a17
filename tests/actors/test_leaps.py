"""A name that leaps is nobody's: it stops neither a coordinator nor its successor."""

from __future__ import annotations

from pathlib import Path

from actors_for_tests import OneProcessSwarm, until
from swarm_for_tests import closed_stages, small_config


def test_an_epoch_beyond_reason_stops_nobody(tmp_path: Path) -> None:
    config = small_config(nodes=1, external=0, rounds=12, pace__beat_s=0.2)
    swarm = OneProcessSwarm(tmp_path / "My Drive", config, [["node-0"]])
    with swarm:
        until(lambda: swarm.coordinator.status().round >= 2)
        bucket = swarm.root / swarm.address.paths.state_bucket(0)
        (bucket / "e999999999-s00000000.coordinator.deadbeef.json").write_bytes(b"")
        until(lambda: swarm.coordinator.status().round >= 5)
        swarm.kill_coordinator()
        swarm.succeed_coordinator()
        swarm.results()
        assert swarm.state() == "finished"
    assert [c.round for c in closed_stages(swarm.root, "small")] == list(range(12))
