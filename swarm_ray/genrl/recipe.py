"""Recipes of games: YAML files of a user's own that say what is played, and by what swarm.

A recipe has two parts: `swarm`, keys of the configuration, and `game`, either the short form below or GenRL's own
(`_target_`, as hydra instantiates it). A recipe is read from the command line's file alone, never from the shared
folder; the experiment keeps its name and hash, so that a node with another one is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from swarm_ray.config.load import Overrides, load_config, read_overrides
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.config.yaml import parse_mapping, read_mapping
from swarm_ray.errors import ConfigError
from swarm_ray.genrl.recorder import GamePlace, ShortForm

if TYPE_CHECKING:
    from swarm_ray.genrl.manager import SwarmGameManager

TARGET = "_target_"
STAGES = {"rgym": 1, "multistage_math": 3}
_USELESS_IN_MATH = ("rule", "datasets", "num_transplant_trees", "system_prompt_id")


@dataclass(frozen=True)
class Recipe:
    """What a recipe's file says; as a function it makes a node's game manager (`swarm_ray.genrl.recorder`)."""

    name: str
    swarm: Mapping[str, Any]
    game: Mapping[str, Any]

    @property
    def game_id(self) -> str:
        """The recipe's name and the hash of what is played: `config.game`."""
        text = json.dumps(self.game, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def stages(self) -> int:
        """Stages of a round.

        Raises:
            ConfigError: the game does not say so.
        """
        if TARGET not in self.game:
            return STAGES[self.short.kind]
        stages = self.game.get("max_stage")
        if type(stages) is not int or stages < 1:
            raise ConfigError(f"recipe {self.name}: game.max_stage must be a number of stages above 0")
        return stages

    @property
    def short(self) -> ShortForm:
        """The short form, checked.

        Raises:
            ConfigError: a key or a value is unknown.
        """
        try:
            short = msgspec.convert(dict(self.game), ShortForm)
        except msgspec.ValidationError as error:
            raise ConfigError(f"recipe {self.name}: game: {error}") from None
        useless = [key for key in _USELESS_IN_MATH if key in self.game and short.kind == "multistage_math"]
        useless += ["openings"] if short.openings and short.trainer == "genrl" else []
        if useless:
            raise ConfigError(f"recipe {self.name}: game.{useless[0]} has no meaning there; leave it out")
        return short

    def config(self, overrides: Overrides = ()) -> SwarmConfig:
        """The configuration of a new experiment.

        Args:
            overrides: the command line's, with the highest priority.

        Raises:
            ConfigError: a key or a value is impossible, or is for the recipe to say.
        """
        asked = read_overrides(overrides)
        refuse_fixed(asked)
        refuse_fixed(self.swarm)
        fixed = {"game": self.game_id, "stages": self.stages}
        if TARGET in self.game:
            return load_config(None, None, read_overrides(self.swarm, asked, fixed))
        short = self.short
        sizes = {  # the game's own words for I, J and G
            "local": short.num_train_samples,
            "external": short.num_transplant_trees,
            "completions": short.num_generations,
        }
        said = {key: size for key, size in sizes.items() if size is not None}
        config = load_config(None, None, read_overrides(self.swarm, said, asked, fixed))
        if (short.kind, short.datasets) == ("rgym", "tasks"):
            _require_different_tasks(self.name, config)
        return config

    def __call__(self, place: GamePlace) -> SwarmGameManager:
        """A node's game manager.

        Raises:
            UserError: the game cannot be made of what the recipe says.
        """
        from swarm_ray.genrl.building import build_short, build_with_hydra

        if TARGET in self.game:
            return build_with_hydra(self.name, self.game, place)
        return build_short(self.short, place)


def read_recipe(name_or_file: str) -> Recipe:
    """A recipe that comes with Swarm Ray, by its name, or one of a file.

    Raises:
        ConfigError: it does not exist, or has another form.
    """
    if name_or_file in shipped_recipes():
        data = resources.files("swarm_ray.genrl.recipes").joinpath(f"{name_or_file}.yaml").read_bytes()
        return _recipe(name_or_file, parse_mapping(data, f"recipe {name_or_file}"))
    path = Path(name_or_file)
    if not path.is_file():
        raise ConfigError(
            f"{name_or_file!r} is not a recipe: name a YAML file, or one of {', '.join(shipped_recipes())}"
        )
    name = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-_")[:40] or "game"
    return _recipe(name, read_mapping(path))


def shipped_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with Swarm Ray, sorted."""
    folder = resources.files("swarm_ray.genrl.recipes")
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def refuse_fixed(overrides: Mapping[str, Any]) -> None:
    """Refuse overrides of what only the recipe may say.

    Raises:
        ConfigError: an override sets it.
    """
    for key in ("game", "stages"):
        if key in overrides:
            raise ConfigError(f"{key}: the recipe's game says it; leave it out")


def _recipe(name: str, values: Mapping[str, Any]) -> Recipe:
    unknown = sorted(values.keys() - {"swarm", "game"})
    if unknown:
        raise ConfigError(
            f"recipe {name}: {unknown[0]} is not a section of a recipe; the sections are swarm and game"
        )
    swarm, game = values.get("swarm") or {}, values.get("game")
    if not isinstance(swarm, dict) or not isinstance(game, dict):
        raise ConfigError(
            f"recipe {name}: game must say what is played, and swarm is keys of the configuration"
        )
    recipe = Recipe(name, swarm, game)
    if TARGET not in game:
        _ = recipe.short  # a mistake is reported before anything is created
    return recipe


def _require_different_tasks(name: str, config: SwarmConfig) -> None:
    """reasoning-gym's composite knows a data set by its task's name."""
    tasks = [one.task or one.name for one in config.tasks.specialties]
    twice = sorted({task for task in tasks if tasks.count(task) > 1})
    if twice:
        raise ConfigError(
            f"recipe {name}: {twice[0]} is given twice in tasks.specialties, and in rgym each is known by its task: "
            "leave one out"
        )
