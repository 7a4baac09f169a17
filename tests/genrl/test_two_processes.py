"""Two processes play GenRL's games over one folder, by the deadline, and learn from each other."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from player_for_tests import play_both

from drive_store import ExperimentPaths, ExperimentStore, Registry, Store, Valid
from swarm_ray.experiments import experiment_status
from swarm_ray.tasks.scoring import Scorer

PLAYER = Path(__file__).parents[1] / "support" / "player_for_tests.py"
NODES = ("node-0", "node-1")
Played = tuple[Path, dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, verifier: Scorer) -> Played:
    """The folder, and what this process and another one say of each game."""
    root = tmp_path_factory.mktemp("two")
    command = [sys.executable, str(PLAYER), str(root), NODES[1]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as other:
        try:
            told = {NODES[0]: play_both(str(root), NODES[0], verifier)}
            out, _ = other.communicate(timeout=240)
        finally:
            other.kill()
    assert other.returncode == 0
    return root, told | {NODES[1]: json.loads(out.splitlines()[-1])}


@pytest.mark.parametrize("game", ["rgym", "math"])
def test_both_processes_use_rollouts_and_see_values_of_the_other(played: Played, game: str) -> None:
    _, told = played
    assert told["node-0"][game]["pid"] != told["node-1"][game]["pid"]
    for node, other in (NODES, NODES[::-1]):
        said = told[node][game]
        assert said["rounds"] == [0, 1, 2]
        assert said["offered"] > 0
        assert said["external"] > 0
        assert said["used_from"] == [other]
        assert said["shown"] == {name: name for name in NODES}


def test_the_folder_has_both_nodes_and_their_goodbyes(played: Played) -> None:
    root, _ = played
    registry = Registry(ExperimentStore(Store(str(root)), ExperimentPaths("math")))
    found = registry.registrations()
    assert sorted(node for node, _ in found) == list(NODES)
    assert all(isinstance(registry.read_beat(*peer), Valid) for peer in found)
    assert sorted(node.id for node in experiment_status(str(root), "math").nodes) == list(NODES)
