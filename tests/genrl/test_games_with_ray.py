"""A game from a function of one's own to its report: nodes as actors, stages that the coordinator closes."""

from pathlib import Path

import pytest
from game_swarm_for_tests import RgymFactory

from swarm_ray import run_game
from swarm_ray.cli.main import main
from swarm_ray.experiments import compare_experiments, experiment_metrics, experiment_status, list_experiments
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.observe.report.evidence import read_evidence

NODES = ["node-0", "node-1"]


@pytest.mark.ray
def test_actors_play_and_every_command_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(tmp_path / "My Drive")
    run = run_game(RgymFactory(None), root, "game", nodes=2, rounds=3, game="digits-1")
    assert (run.exit_code, run.message) == (0, "game is done")

    status = experiment_status(root, "game")
    assert (status.state, status.round, [node.id for node in status.nodes]) == ("finished", 2, NODES)
    rows = experiment_metrics(root, "game")
    assert sorted((row.node, row.round) for row in rows) == [(node, r) for node in NODES for r in range(3)]
    used = {(row.node, peer) for row in rows for peer in row.counters.used_from}
    assert used == {("node-0", "node-1"), ("node-1", "node-0")}
    (listed,) = list_experiments(root)
    assert (listed.state, listed.nodes) == ("finished", 2)

    for words in (["status", "--experiment", "game"], ["metrics", "game"], ["compare", "game"]):
        assert main([words[0], "--root", root, *words[1:]]) == 0
    assert "node-0" in capsys.readouterr().out
    assert main(["export", "game", "--root", root, "-o", str(tmp_path / "out")]) == 0
    assert "a game's payloads are not SAPO rollouts" in capsys.readouterr().err
    told = read_evidence(open_experiment(root, "game"))
    sums = {node: sum(row.reward for row in rows if row.node == node) for node in NODES}
    assert told.node_sums() == pytest.approx(sums), "the log tells them late, and the last one never"
    (compared,) = compare_experiments(root, ["game"])
    assert compared.cumulative_reward == pytest.approx(sum(sums.values()))
    again = run_game(RgymFactory(None), root, "game", nodes=2, rounds=3, game="digits-1")
    assert "is finished already" in again.message
    assert main(["genrl", "--recipe", "rgym", "--root", root, "--experiment", "game"]) == 2
    refused = capsys.readouterr().err
    assert "plays digits-1, and this is rgym-" in refused
    assert refused.count("\n") == 1
