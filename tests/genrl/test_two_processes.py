"""Two processes play GenRL's games over one folder, by the deadline, and learn from each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drive_store import ExperimentPaths, ExperimentStore, Registry, Store, Valid
from swarm_ray.experiments import experiment_status

PLAYER = Path(__file__).parents[1] / "support" / "player_for_tests.py"
NODES = ("node-0", "node-1")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, dict[str, Any]]]]:
    """The folder, and what each process says of each game."""
    root = tmp_path_factory.mktemp("two")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    players = {
        node: subprocess.Popen(
            [sys.executable, str(PLAYER), str(root), node],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for node in NODES
    }
    try:
        told = {}
        for node, player in players.items():
            out, errors = player.communicate(timeout=240)
            assert player.returncode == 0, errors
            told[node] = {line["game"]: line for line in map(json.loads, out.splitlines()[-2:])}
        yield root, told
    finally:
        for player in players.values():
            player.kill()


@pytest.mark.parametrize("game", ["rgym", "math"])
def test_both_processes_use_rollouts_of_the_other(
    played: tuple[Path, dict[str, dict[str, Any]]], game: str
) -> None:
    _, told = played
    assert told["node-0"][game]["pid"] != told["node-1"][game]["pid"]
    for node, other in (NODES, NODES[::-1]):
        said = told[node][game]
        assert said["rounds"] == [0, 1, 2]
        assert said["offered"] > 0
        assert said["external"] > 0
        assert said["used_from"] == [other]


def test_values_are_shown_to_both(played: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    _, told = played
    for node in NODES:
        assert told[node]["math"]["shown"] == {"node-0": "node-0", "node-1": "node-1"}


def test_the_folder_has_both_nodes_and_their_goodbyes(
    played: tuple[Path, dict[str, dict[str, Any]]],
) -> None:
    root, _ = played
    store, paths = Store(str(root)), ExperimentPaths("math")
    registry = Registry(ExperimentStore(store, paths))
    found = registry.registrations()
    assert sorted(node for node, _ in found) == list(NODES)
    assert all(isinstance(registry.read_beat(*peer), Valid) for peer in found)
    status = experiment_status(str(root), "math")
    assert sorted(node.id for node in status.nodes) == list(NODES)
