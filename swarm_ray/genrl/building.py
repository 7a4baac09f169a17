"""Game managers from recipes: GenRL's games in the short form, and whatever hydra can instantiate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from genrl.rewards import DefaultRewardManager
from genrl.state import GameState

from swarm_ray.errors import ConfigError, UserError
from swarm_ray.genrl.manager import SwarmGameManager
from swarm_ray.genrl.math import STAGES, AlikeRounds, MathDataManager, math_rewards
from swarm_ray.genrl.policy_trainer import PolicyTrainer
from swarm_ray.genrl.recorder import GamePlace, ShortForm
from swarm_ray.genrl.rgym import DATASETS, GymDataManager, GymRewards
from swarm_ray.machine.local_disk import cache_folder
from swarm_ray.policies.loading import load_policies
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.tiny.loading import TinyStart
from swarm_ray.policies.tiny.starts import start_index
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Scorer
from swarm_ray.tasks.streams import derive_seed


def build_short(game: ShortForm, place: GamePlace) -> SwarmGameManager:
    """The manager of one of GenRL's games.

    Raises:
        UserError: the model or a data set cannot be loaded, or does not fit the game.
    """
    if game.kind == "rgym":
        data, rewards, stages = *_rgym(game, place), 1
    else:
        seed = derive_seed(place.seed, "math", 0, "questions")
        data = MathDataManager(place.config.local, seed, place.config.tasks, place.allowed_modules)
        rewards, stages = math_rewards(), STAGES
    return SwarmGameManager(
        max_stage=stages,
        max_round=place.rounds,
        game_state=GameState(round=0, stage=0),
        reward_manager=rewards,
        trainer=_trainer(game, place),
        data_manager=data,
        communication=place.communication,
        recorder=place.recorder,
        coordinator=place.coordinator,
    )


def build_with_hydra(name: str, game: Mapping[str, Any], place: GamePlace) -> SwarmGameManager:
    """The manager that a recipe of GenRL's own form names.

    What the node has of its own is offered to interpolation: `${place.node}`, `${place.rounds}`, `${place.seed}`.

    Raises:
        UserError: something in it cannot be made.
    """
    from hydra.errors import HydraException
    from hydra.utils import instantiate
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        whole = OmegaConf.create(
            {
                "place": {"node": place.node, "rounds": place.rounds, "seed": place.seed},
                "game": dict(game),
            }
        )
        manager = instantiate(
            whole.game,
            communication=place.communication,
            recorder=place.recorder,
            coordinator=place.coordinator,
        )
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"recipe {name}: {' '.join(str(error).split())[:500]}") from error
    if not isinstance(manager, SwarmGameManager):
        raise UserError(
            f"recipe {name}: game makes a {type(manager).__name__}; name swarm_ray.genrl.manager.SwarmGameManager, or "
            "a class derived from it"
        )
    return manager


def first_policy(place: GamePlace) -> Policy:
    """The policy that a node begins with: the embedded model's start, or a Hugging Face model.

    Raises:
        ModelError: the model cannot be loaded.
    """
    config, allowed = place.config, place.allowed_modules
    if not config.policy.is_tiny:
        return load_policies(config, 1)[0]
    with Scorer(config.tasks, allowed_modules=allowed) as verifier:
        tasks = TaskSet(config.tasks, allowed_modules=allowed)
        start = TinyStart(config.policy, tasks, verifier, cache_folder(), lambda *_: None)
        policy = start.policy(start_index(place.node))
    policy.use(config.grpo)
    return policy


def _rgym(game: ShortForm, place: GamePlace) -> tuple[GymDataManager, DefaultRewardManager]:
    config = place.config
    composite = {
        "size": config.tasks.pool,
        "seed": config.tasks.seed,
        "datasets": [
            {"name": one.task or one.name, "weight": one.weight, "config": one.options}
            for one in config.tasks.specialties
        ],
    }
    data = GymDataManager(
        DATASETS if game.datasets == "genrl" else composite,
        num_train_samples=config.local,
        num_transplant_trees=config.external,
        rule=game.rule,
        seed=derive_seed(place.seed, place.node, 0, "questions") % 2**32,
        system_prompt_id=game.system_prompt_id,
        chunk_size=config.tasks.pool,
        answer=config.tasks.answer,
    )
    return data, DefaultRewardManager(AlikeRounds([GymRewards(data)]))


def _trainer(game: ShortForm, place: GamePlace) -> Any:
    if game.trainer == "genrl":
        return _genrl_trainer(place)
    return PolicyTrainer(
        first_policy(place),
        place.config.completions,
        seed=place.seed,
        node=place.node,
        advantage_epsilon=place.config.grpo.advantage_epsilon,
        openings=game.openings,
    )


def _genrl_trainer(place: GamePlace) -> Any:
    """GenRL's own trainer, one step per round as in the paper, over the whole distribution.

    Raises:
        ConfigError: the embedded model has no chat template, which GenRL's trainer needs.
    """
    from genrl.trainer.grpo_trainer import GRPOLanguageTrainerModule, GRPOTrainerConfig
    from transformers import AutoModelForCausalLM

    config = place.config
    if config.policy.is_tiny:
        raise ConfigError(
            "game.trainer: genrl needs a model with a chat template: set policy.model to one's name"
        )
    grpo, policy = config.grpo, config.policy
    # It samples from torch's own stream.
    torch.manual_seed(derive_seed(place.seed, place.node, 0, "completions"))
    settings = GRPOTrainerConfig(
        epsilon=grpo.clip_low,
        epsilon_high=grpo.clip_high,
        temperature=policy.temperature,
        dtype=policy.dtype,
        max_new_tokens=policy.max_new_tokens,
        num_generations=config.completions,
        learning_rate=grpo.learning_rate,
        top_k=0,
        minibatch_size=config.completions * (config.local + config.external),
    )
    return GRPOLanguageTrainerModule([AutoModelForCausalLM.from_pretrained(policy.model)], settings)
