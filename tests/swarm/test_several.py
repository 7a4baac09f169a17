"""Several experiments at once, under one root and on one Ray: each is as if it were alone."""

from pathlib import Path

import pytest
import ray
from restarts_for_tests import watch_until_round
from swarm_for_tests import closed_stages, records_of, small_config

from swarm_ray import Swarm
from swarm_ray.experiments import experiment_metrics, list_experiments

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]
ROUNDS = 10


def test_two_swarms_with_equal_node_ids_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is told to stop in the middle, and the other does not notice; their root is that of the driver's folder."""
    monkeypatch.chdir(tmp_path)
    config = small_config(rounds=ROUNDS, alarm_rounds=500, evaluation__questions=0)
    endless = small_config(seed=7, rounds=500, alarm_rounds=500, evaluation__questions=0)
    one = Swarm(config, "My Drive", "one", show=False).start()
    other = Swarm(endless, "My Drive", "other", show=False).start()
    try:
        watch_until_round(other, 3)
        other.stop()
        one.wait()
    finally:
        one.stop()
        other.stop()
    root = str(tmp_path / "My Drive")
    assert (one.exit_code, one.message) == (0, "one is done")
    assert {e.name: e.state for e in list_experiments(root)} == {"one": "finished", "other": "stopped"}
    for name in ("one", "other"):
        files = [f.key for c in closed_stages(root, name) for f in c.accepted]
        assert all(key.startswith(f"experiments/{name}/") for key in files)
        rows = experiment_metrics(root, name)
        senders = {sender for row in rows for sender in row.counters.used_from}
        assert senders <= {"node-0", "node-1"}
    assert [c.round for c in closed_stages(root, "one")] == list(range(ROUNDS))
    rewards = [[row.reward for row in experiment_metrics(root, name)[:6]] for name in ("one", "other")]
    assert rewards[0] != rewards[1]
    assert other.exit_code == 130
    assert "stopped" in other.message
    last, closed = records_of(root, "other")[-1], closed_stages(root, "other")
    assert (last.state, last.note) == ("stopped", "stopped on request")
    for node in ("node-0", "node-1"):
        assert last.tallies[node].totals.reward == sum(c.rewards[node] for c in closed)
    assert ray.is_initialized()
    assert ray.util.list_named_actors(all_namespaces=True) == []
