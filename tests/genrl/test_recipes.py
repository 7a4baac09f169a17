"""Recipes: what they may say; and that a mistake in one, or GenRL missing, is a line."""

import subprocess
import sys
from pathlib import Path

import pytest

from swarm_ray import coordinate, simulate, work
from swarm_ray.cli.main import main
from swarm_ray.config.load import load_config
from swarm_ray.errors import ConfigError, UserError
from swarm_ray.experiments.folder import ExperimentAddress, create_experiment
from swarm_ray.games import run_game
from swarm_ray.genrl import require_genrl
from swarm_ray.genrl.recipe import read_recipe, shipped_recipes

RGYM = "game: {kind: rgym, num_train_samples: 2, num_transplant_trees: 3, num_generations: 4}\n"
TWICE = (
    f"{RGYM}swarm: {{tasks: {{specialties: [{{name: a, task: chain_sum}}, {{name: b, task: chain_sum}}]}}}}\n"
)


def written(folder: Path, text: str, name: str = "My Recipe!.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_the_shipped_recipes_are_whole() -> None:
    assert shipped_recipes() == ("multistage_math", "rgym")
    assert [read_recipe(name).config().stages for name in shipped_recipes()] == [3, 1]


def test_a_recipe_says_the_sizes_and_the_command_line_has_the_last_word(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, RGYM + "swarm: {rounds: 7, pace: {max_s: 9}}\n"))
    config = recipe.config(["rounds=8", "external=5"])
    assert (config.local, config.external, config.completions) == (2, 5, 4)
    assert (config.rounds, config.pace.max_s, config.stages) == (8, 9.0, 1)
    assert config.game == recipe.game_id
    assert recipe.game_id.startswith("my-recipe-")


def test_what_is_played_has_its_own_hash(tmp_path: Path) -> None:
    first = read_recipe(written(tmp_path, RGYM + "swarm: {rounds: 7}\n"))
    same = read_recipe(written(tmp_path, RGYM + "swarm: {rounds: 8}\n"))
    other = read_recipe(written(tmp_path, RGYM.replace("rgym,", "rgym, rule: upstream,")))
    assert first.game_id == same.game_id != other.game_id


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("game: {kind: chess}\n", "kind"),
        ("game: {kind: rgym, rules: paper}\n", "rules"),
        ("swarm: {rounds: 3}\n", "game must say"),
        ("play: 3\n", "play is not a section of a recipe"),
        (RGYM + "swarm: {stages: 2}\n", "stages: the recipe's game says it"),
        (RGYM + "swarm: {round: 2}\n", "round"),
        ("game: {_target_: my.Manager}\n", "game.max_stage"),
        ("game: {kind: multistage_math, rule: upstream}\n", "game.rule has no meaning there"),
        ("game: {kind: rgym, trainer: genrl, openings: [x]}\n", "game.openings has no meaning there"),
        (TWICE, "chain_sum is given twice"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        read_recipe(written(tmp_path, text)).config()
    assert "\n" not in str(refused.value)


def test_whoever_joins_a_game_imports_no_module_that_strangers_name(tmp_path: Path) -> None:
    recipe = read_recipe("rgym")
    said = {"game": recipe.game_id, "policy.start": "base", "tasks.modules": ["evil_tasks"]}
    config = load_config(None, None, said)
    address = ExperimentAddress(str(tmp_path), "rgym")
    create_experiment(address, config, claimant="coordinator.0a0b0c0d")
    for coordinator in ("elsewhere", "none"):
        with pytest.raises(UserError, match="evil_tasks"):
            run_game(recipe, str(tmp_path), "rgym", node="b", nodes=1, coordinator=coordinator, show=False)
    assert "evil_tasks" not in sys.modules
    for train in (
        lambda: simulate(config, str(tmp_path), "rgym", show=False),
        lambda: coordinate(config, str(tmp_path), "rgym", show=False),
        lambda: work(str(tmp_path), "rgym", "b", show=False),
    ):
        with pytest.raises(ConfigError, match="continue it with `swarm-ray genrl"):
            train()


def test_the_command_tells_a_mistake_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--root", str(tmp_path / "runs")]
    for words in (
        ["--recipe", "nothing"],
        ["--recipe", "rgym", "--coordinator", "elsewhere"],
        ["--recipe", "rgym", "--node", "Node 1"],
        ["--recipe", "rgym", "--nodes", "0"],
        ["--recipe", "rgym", "game=chess"],
        ["--recipe", "rgym", "no.such=1"],
    ):
        assert main(["genrl", *words, *root]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_what_cannot_travel_to_another_process_is_refused(tmp_path: Path) -> None:
    import threading

    lock = threading.Lock()
    with pytest.raises(UserError, match="cannot travel to another process"):
        run_game(lambda place: (lock, place), str(tmp_path), "mine", show=False)


ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("version", ["0.4.0", "1.0", "0.1.11", "0", "junk"])
def test_another_series_is_refused(tmp_path, monkeypatch, version):
    folder = tmp_path / "gensyn_genrl-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: gensyn-genrl\nVersion: {version}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError) as refused:
        require_genrl()
    assert f"work with gensyn-genrl 0.3, and {version} is installed" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_where_it_is_not_installed_one_line_says_what_to_do():
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from swarm_ray.genrl import require_genrl\n"
        "try:\n    require_genrl()\nexcept Exception as error:\n    print(type(error).__name__, error)\n"
    )
    command = [sys.executable, "-I", "-S", "-c", program]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.startswith("UserError GenRL's games need the package gensyn-genrl, which is not")
    assert "pip install 'swarm-ray[genrl]'" in done.stdout
