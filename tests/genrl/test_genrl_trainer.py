"""GenRL's own trainer as a recipe asks for it: on a model of a folder, with our checkpoints.

It samples from torch's own random stream, so one node plays in this process.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from game_swarm_for_tests import GameSwarm
from games_for_tests import moved, random_qwen, weights

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.experiments import experiment_metrics
from swarm_ray.genrl.building import build_short
from swarm_ray.genrl.communication import GameCommunication, GameCoordinator
from swarm_ray.genrl.recipe import Recipe, read_recipe
from swarm_ray.genrl.recorder import GamePlace, GameRecorder

pytestmark = pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning")
"""GenRL 0.3.0 calls transformers' old name."""

GAME = """
game: {kind: rgym, trainer: genrl, num_train_samples: 2, num_transplant_trees: 0, num_generations: 8}
swarm:
  nodes: 1
  alarm_rounds: 50
  policy: {max_new_tokens: 16, device: cpu}
  grpo: {learning_rate: 1.0e-2}
  checkpoint: {every: 1}
  pace: {expect: 1, min_nodes: 1, beat_s: 0.2}
  tasks: {pool: 600, answer: whole, specialties: [{name: count_bits, options: {min_n: 1, max_n: 31}}]}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("qwen")
    torch.manual_seed(0)
    for part in random_qwen():
        part.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    file = tmp_path / "theirs.yaml"
    file.write_text(GAME)
    return read_recipe(str(file))


def test_it_plays_and_resumes_with_its_optimizer(tmp_path: Path, recipe: Recipe, model: str) -> None:
    def config(rounds: int) -> SwarmConfig:
        return recipe.config([f"policy.model={model}", f"rounds={rounds}"])

    swarm = GameSwarm(tmp_path / "root", config(2), recipe, hosted=("node-0",))
    assert [(r.rounds, r.problems, r.stopped) for r in swarm.played()] == [(2, {}, "")]
    theirs = swarm.trainers[0]._manager.trainer
    assert type(theirs).__name__ == "GRPOLanguageTrainerModule"
    steps = _adam_steps(theirs)
    assert steps > 0
    kept = weights(theirs)

    swarm.config = config(3)
    swarm.again()
    resumed = swarm.trainers[0]._manager.trainer
    assert resumed is not theirs
    assert not moved(kept, resumed)
    assert _adam_steps(resumed) == steps
    assert [(r.rounds, r.problems, r.stopped) for r in swarm.played()] == [(1, {}, "")]
    rows = {(row.node, row.round): row for row in experiment_metrics(str(swarm.root), "small")}
    assert sorted(rows) == [("node-0", number) for number in range(3)]
    assert all(row.loss is not None for row in rows.values())


def test_it_samples_by_the_seed(recipe: Recipe, model: str) -> None:
    def texts(seed: int) -> Any:
        config = recipe.config([f"policy.model={model}", f"seed={seed}"])
        communication = GameCommunication("node-0")
        place = GamePlace("node-0", config, communication, GameCoordinator(communication), GameRecorder())
        manager = build_short(recipe.short, place)
        try:
            return manager.trainer.generate([{"prompt": [{"role": "user", "content": "What is 12 + 30?"}]}])
        finally:
            manager.data_manager.close()

    assert texts(1) == texts(1) != texts(2)


def _adam_steps(trainer: Any) -> float:
    return max((float(state["step"]) for state in trainer.optimizer.state.values()), default=0.0)
