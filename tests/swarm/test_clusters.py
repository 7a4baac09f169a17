"""A swarm over several machines of one Ray, played by Ray's own test cluster: trainers apart, one folder."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from ray.cluster_utils import Cluster
from swarm_for_tests import SMALL, closed_stages

from swarm_ray.experiments import experiment_metrics

pytestmark = pytest.mark.machines

MACHINES = 2
WHERE = """
import json, sys
from swarm_ray import simulate
from swarm_ray.config.load import load_config
from swarm_ray.runtime.worker import Worker

planned, end = [], Worker.close
def close(self, *arguments):
    placed = self._placement
    if placed.group is not None:
        planned.append([placed.group.machines(), placed.threads, placed.hosted])
    end(self, *arguments)
Worker.close = close
swarm = simulate(load_config("tiny", overrides=json.loads(sys.argv[2])), sys.argv[1], "wide", show=False)
print(json.dumps([swarm.exit_code, swarm.message, planned[0]]))
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two machines with different numbers of CPUs; the driver is on the first."""
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    head = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for cpus in range(2, MACHINES + 1):
        cluster.add_node(num_cpus=cpus, object_store_memory=100_000_000)
    yield cluster
    cluster.shutdown()


def run(address: str, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python code where RAY_ADDRESS is set."""
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "RAY_ADDRESS": address, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150, check=False)


def test_trainers_spread_over_the_machines(cluster: Cluster, root: str) -> None:
    ended = run(cluster.address, WHERE, root, json.dumps(SMALL | {"nodes": MACHINES}))
    assert ended.returncode == 0, ended.stderr
    code, message, (machines, threads, hosted) = json.loads(ended.stdout.splitlines()[-1])
    assert (code, message) == (0, "wide is done")
    assert len(set(machines)) == MACHINES
    assert sorted(threads) == [1, 2]
    assert sorted(hosted) == [["node-0"], ["node-1"]]
    assert len(closed_stages(root, "wide")) == SMALL["rounds"]
    used = {row.node for row in experiment_metrics(root, "wide") if row.counters.used}
    assert used == {"node-0", "node-1"}


def test_places_that_are_not_to_be_had_are_named(cluster: Cluster) -> None:
    asked = """
from swarm_ray.errors import MissingResource
from swarm_ray.machine.ray_actors import PlacementGroup, Share
from swarm_ray.machine.ray_instance import RayInstance
ray = RayInstance()
ray.wait()
try:
    PlacementGroup(Share(1.0, 1.0), 2, 2.0)
except MissingResource as error:
    print(error)
ray.close()
"""
    said = run(cluster.address, asked).stdout
    for part in ("2 trainer(s) did not start within 2 s", "1 CPU and 1 GPU", "0 of 0 GPU", "of 3 CPU"):
        assert part in said


def test_an_address_where_no_ray_is_says_so() -> None:
    ended = run("127.0.0.1:1", "from swarm_ray.machine.ray_instance import RayInstance; RayInstance().wait()")
    assert ended.returncode != 0
    last = ended.stderr.splitlines()[-1]
    assert "ActorFailure: Ray does not start as RAY_ADDRESS=127.0.0.1:1 says" in last
    assert "refused" in last
