"""A game's trainers, with a coordinator, a deadline or Ray: metrics, checkpoints and going on."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from game_swarm_for_tests import GameSwarm, RgymFactory, game_config, until
from games_for_tests import moved, weights

from drive_store import DiscoveryFolder, Registry, make_node_folders
from swarm_ray import run_game
from swarm_ray.cli.main import main
from swarm_ray.config.load import config_hash
from swarm_ray.errors import UserError
from swarm_ray.experiments import (
    compare_experiments,
    experiment_history,
    experiment_metrics,
    experiment_status,
    list_experiments,
)
from swarm_ray.experiments.folder import local_folder
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.genrl.recipe import Recipe, read_recipe
from swarm_ray.observe.report.evidence import read_evidence
from swarm_ray.records.nodes import Beat, NodeTotals, PeerRecord, Registration

NODES = ["node-0", "node-1"]


def rows_of(root: Path) -> dict[tuple[str, int], Any]:
    """All rows of metrics, by node and round."""
    rows = experiment_metrics(str(root), "small")
    found = {(row.node, row.round): row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize("coordinated", [True, False])
def test_a_game_goes_on_where_it_stopped(tmp_path: Path, verifier: Any, *, coordinated: bool) -> None:
    root, factory = tmp_path / "root", RgymFactory(verifier)
    swarm = GameSwarm(root, game_config(2), factory, coordinated=coordinated)
    begun = weights(factory.managers["node-0"].trainer)
    first = swarm.played()
    assert [(r.rounds, r.problems, r.stopped) for r in first] == [(2, {}, "")] * 2
    assert moved(begun, factory.managers["node-0"].trainer)
    kept = weights(factory.managers["node-0"].trainer)

    swarm.config = game_config(4)
    swarm.again()
    resumed = factory.managers["node-0"]
    assert not moved(kept, resumed.trainer)  # the checkpoint was given to the new trainer
    second = swarm.played()
    assert [(r.rounds, r.problems, r.stopped) for r in second] == [(2, {}, "")] * 2
    rows = rows_of(root)
    assert sorted(rows) == [(f"node-{i}", number) for i in range(2) for number in range(4)]
    assert [rows["node-0", number].step for number in range(4)] == [0, 1, 2, 3]
    assert sum(row.external for row in rows.values()) > 0
    assert all(row.counters.used_from.keys() <= {*NODES} - {node} for (node, _), row in rows.items())
    status = experiment_status(str(root), "small")
    assert (status.state, status.round, status.rounds) == ("finished", 3, 4)
    (listed,) = list_experiments(str(root))
    assert (listed.state, listed.nodes) == ("finished", 2)
    history = experiment_history(str(root), "small")
    assert [(stage.round, stage.accepted) for stage in history] == [(number, 2) for number in range(4)]


def test_updates_since_a_checkpoint_are_lost_and_none_comes_twice(tmp_path: Path, verifier: Any) -> None:
    """As after SIGKILL: what was shared is in the log, and the checkpoint is older or missing."""
    swarm = GameSwarm(tmp_path / "root", game_config(2), RgymFactory(verifier))
    swarm.played()
    for folder in (local_folder(swarm.address), Path(swarm.root, swarm.address.paths.folder)):
        shutil.rmtree(folder / "checkpoints")
    swarm.config = game_config(4)
    swarm.again()
    assert [(r.rounds, r.problems, r.stopped) for r in swarm.played()] == [(2, {}, "")] * 2
    rows = rows_of(swarm.root)
    assert [rows["node-0", number].step for number in range(4)] == [0, 1, 2, 3]
    history = experiment_history(str(swarm.root), "small")
    assert [(stage.round, stage.accepted) for stage in history] == [(number, 2) for number in range(4)]
    for node in experiment_status(str(swarm.root), "small").nodes:
        assert "2 update(s) lost" in node.recovered


def hydra_recipe(folder: Path, text: str = "") -> Recipe:
    file = folder / "maths.yaml"
    file.write_text(text or HYDRA)
    return read_recipe(str(file))


def test_a_round_that_was_left_in_its_middle_is_closed_without_those_who_left(tmp_path: Path) -> None:
    recipe = hydra_recipe(tmp_path)
    config = game_config(200).model_copy(update={"stages": recipe.stages, "game": recipe.game_id})
    swarm = GameSwarm(tmp_path / "root", config, recipe)
    with swarm:
        until(lambda: (at := swarm.trainers[0]._rounds.opened) is not None and at > (1, 0) and at.stage > 0)
        for trainer in swarm.trainers:
            trainer.stop()
        swarm.results()
    left = max(stage.round for stage in experiment_history(str(swarm.root), "small"))
    swarm.config = config.model_copy(update={"rounds": left + 3})
    swarm.again()
    assert {r.stopped for r in swarm.played()} == {""}
    assert experiment_status(str(swarm.root), "small").state == "finished"


def test_a_stranger_far_ahead_is_not_followed(tmp_path: Path, verifier: Any) -> None:
    swarm = GameSwarm(tmp_path / "root", game_config(2), RgymFactory(verifier), coordinated=False)
    registry, me = Registry(swarm.address.open()), ("stranger-1", "0badcafe")
    make_node_folders(swarm.address.open(), *me)
    announced = Registration(*me, "there", config_hash(swarm.config), {}, "2026-01-01T00:00:00+00:00")
    registry.register(*me, msgspec.json.encode(announced))
    registry.write_beat(*me, 1, msgspec.json.encode(Beat(1, 10**9, 10**9, "playing", NodeTotals())))
    results = swarm.played()
    assert [(r.rounds, r.problems) for r in results] == [(2, {})] * 2
    assert experiment_status(str(swarm.root), "small").rounds == 2


def test_stages_that_nobody_was_told_of_are_a_mistake(tmp_path: Path, verifier: Any) -> None:
    config = game_config(2).model_copy(update={"stages": 3})
    with pytest.raises(UserError, match="tell run_game stages=1"):
        GameSwarm(tmp_path / "root", config, RgymFactory(verifier))


HYDRA = """
game:
  _target_: swarm_ray.genrl.SwarmGameManager
  max_stage: 3
  max_round: ${place.rounds}
  game_state: {_target_: genrl.state.GameState, round: 0, stage: 0}
  reward_manager: {_target_: swarm_ray.genrl.math_rewards}
  trainer:
    _target_: swarm_ray.genrl.PolicyTrainer
    policy: {_target_: games_for_tests.tiny_policy}
    num_generations: 4
    node: ${place.node}
    openings: ["\\nAnswer: ", "\\nChoice: Student #", "\\nAnswer: "]
  data_manager: {_target_: swarm_ray.genrl.MathDataManager, num_train_samples: 2, seed: 5}
"""


def test_a_recipe_of_genrls_own_form_plays_three_stages_that_a_coordinator_closes(tmp_path: Path) -> None:
    recipe = hydra_recipe(tmp_path)
    config = game_config(2).model_copy(update={"stages": recipe.stages, "game": recipe.game_id})
    assert recipe.stages == 3
    results = GameSwarm(tmp_path / "root", config, recipe).played()
    assert [(r.rounds, r.problems) for r in results] == [(2, {})] * 2
    rows = rows_of(tmp_path / "root")
    assert len(rows) == 4
    for (node, _), row in rows.items():
        assert set(row.counters.used_from) == {"node-0", "node-1"} - {node}
        assert row.external > 0
    history = experiment_history(str(tmp_path / "root"), "small")
    closed = [(stage.round, stage.stage, stage.accepted) for stage in history]
    assert closed == [(number, stage, 2) for number in range(2) for stage in range(3)]


def test_a_recipe_that_cannot_be_made_is_told_in_a_line(tmp_path: Path) -> None:
    recipe = hydra_recipe(tmp_path, HYDRA.replace("MathDataManager", "ChessDataManager"))
    with pytest.raises(UserError, match=r"recipe maths: .*ChessDataManager") as refused:
        GameSwarm(tmp_path / "root", game_config(1), recipe)
    assert "\n" not in str(refused.value)


def test_a_game_that_is_stopped_keeps_what_it_learned(tmp_path: Path, verifier: Any) -> None:
    root, factory = tmp_path / "root", RgymFactory(verifier)
    swarm = GameSwarm(root, game_config(400, slow_down_s=0.05), factory, coordinated=False)
    with swarm:
        until(lambda: swarm.trainers[0].nodes[0].round >= 1)
        for trainer in swarm.trainers:
            trainer.stop()
        first = swarm.results()
    assert {r.stopped for r in first} == {"told to stop"}
    kept = weights(factory.managers["node-0"].trainer)
    status = experiment_status(str(root), "small")
    assert status.state == "stopped"
    swarm.again()
    assert not moved(kept, factory.managers["node-0"].trainer)


def test_nodes_whose_coordinator_dies_go_on_among_themselves(tmp_path: Path, verifier: Any) -> None:
    root, factory = tmp_path / "root", RgymFactory(verifier)
    quick = {"slow_down_s": 0.05, "pace.alone_after_s": 1.0, "pace.drain_s": 0.5, "pace.max_s": 20.0}
    with GameSwarm(root, game_config(20, **quick), factory) as swarm:
        until(lambda: swarm.trainers[0].nodes[0].round >= 1)
        swarm.kill_coordinator()
        results = swarm.results()
    assert [(r.problems, r.stopped) for r in results] == [({}, "")] * 2
    rows = rows_of(root)
    alone = [row for row in rows.values() if row.alone]
    assert alone
    assert sum(row.external for row in alone) > 0
    assert max(row.round for row in alone) == 19


def test_a_failing_game_is_told_and_ends_its_node(tmp_path: Path, verifier: Any) -> None:
    factory = RgymFactory(verifier)
    swarm = GameSwarm(tmp_path / "root", game_config(3), factory, coordinated=False)

    def breaks(*_: Any) -> None:
        raise ValueError("no such thing as a step")

    factory.managers["node-0"].trainer.train = breaks
    results = swarm.played()
    assert "round 0, stage 1" in results[0].problems["node-0"]
    assert "no such thing as a step" in results[0].problems["node-0"]
    assert results[1].problems == {}
    assert results[1].rounds == 3


def test_bootnodes_are_those_of_living_nodes_with_a_link(tmp_path: Path, verifier: Any) -> None:
    factory = RgymFactory(verifier)
    swarm = GameSwarm(tmp_path / "root", game_config(1), factory, coordinated=False)
    swarm.played()
    coordinator = factory.managers["node-0"].coordinator
    assert coordinator.get_bootnodes() == []
    address, me = "/ip4/127.0.0.1/tcp/4001", ("far", "0a0b0c0d")
    record = PeerRecord(*me, "small", multiaddrs=(address,), count=1, reach="public")
    DiscoveryFolder(swarm.address.open().store).write("small", *me, 1, msgspec.json.encode(record))
    assert coordinator.get_bootnodes() == [address]


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
