"""A swarm on a real Ray with its dashboard and every tracker, looked at over HTTP and in its folder."""

import json
import urllib.request
from pathlib import Path

import pytest
import ray
from swarm_for_tests import small_config, wait_for_round
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tracked_for_tests import until

from swarm_ray import Swarm
from swarm_ray.experiments import experiment_metrics
from swarm_ray.machine.ray_actors import metrics_address
from swarm_ray.machine.ray_instance import dashboard_address

pytestmark = pytest.mark.ray

CONFIG = small_config(
    rounds=5000,
    slow_down_s=0.3,
    evaluation__questions=0,
    tracking__wandb="offline",
    tracking__tensorboard=True,
    tracking__prometheus=True,
)
NODES = ("node-0", "node-1")


def asked(address: str) -> tuple[int, str]:
    with urllib.request.urlopen(f"http://{address}", timeout=60) as answer:
        return answer.status, answer.read().decode()


class Looked:
    """What was seen of a run."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "My Drive"
        with Swarm(CONFIG, str(self.root), "tracked", show=False, dashboard=True) as swarm:
            wait_for_round(swarm, 3)
            self.note = "; ".join(swarm.progress()[0].notes)
            self.dashboard, self.metrics = dashboard_address(), metrics_address()
            self.version = asked(f"{self.dashboard}/api/version")
            self.page = asked(f"{self.dashboard}/")
            until(lambda: "ray_swarm_store" in asked(f"{self.metrics}/metrics")[1])
            self.exported = asked(f"{self.metrics}/metrics")[1].splitlines()
        self.rows = experiment_metrics(str(self.root), "tracked")


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Looked:
    ray.shutdown()  # a Ray that other tests have left has no dashboard
    return Looked(tmp_path_factory.mktemp("tracked"))


def test_the_dashboard_answers_without_a_token(looked: Looked) -> None:
    assert looked.version[0] == 200
    assert "ray_version" in json.loads(looked.version[1])
    assert looked.page[0] == 200
    assert "<html" in looked.page[1]


def test_it_is_said_where_they_are(looked: Looked) -> None:
    assert f"dashboard: http://{looked.dashboard}" in looked.note
    assert f"Prometheus: http://{looked.metrics}/metrics" in looked.note


def test_prometheus_sees_each_node(looked: Looked) -> None:
    for node in NODES:
        (line,) = [x for x in looked.exported if x.startswith("ray_swarm_step{") and f'node="{node}"' in x]
        assert 'experiment="tracked"' in line
        assert float(line.rpartition(" ")[2]) >= 0


def test_a_run_that_is_stopped_leaves_its_trackers_files_in_the_folder(looked: Looked) -> None:
    for node in NODES:
        steps = [row.step for row in looked.rows if row.node == node]
        (home,) = looked.root.glob(f"experiments/tracked/logs/{node}.*")
        assert len(list(home.glob("wandb/offline-run-*/*.wandb"))) == 1
        events = EventAccumulator(str(home / "tensorboard"))
        events.Reload()
        assert [event.step for event in events.Scalars("reward")] == steps
