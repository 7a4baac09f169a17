"""What of a game's trainer learns: the part whose weights and optimizer a checkpoint holds."""

from __future__ import annotations

from typing import Any

import torch

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import UserError


def learner_of(trainer: Any) -> Any:
    """What of a game's trainer has the model and the optimizer: our policy, or GenRL's trainer itself.

    Raises:
        UserError: neither is there.
    """
    learner = getattr(trainer, "policy", trainer)
    if not (hasattr(learner, "model") and hasattr(learner, "optimizer")):
        raise UserError(
            f"the game's trainer ({type(trainer).__name__}) has no policy, and no model and optimizer: nothing of what "
            "it learns could be kept. Give it these two attributes"
        )
    return learner


def describe_learner(trainer: Any, config: SwarmConfig) -> str:
    """What the figures of a game's node were made on."""
    parameters = sum(p.numel() for p in learner_of(trainer).model.parameters())
    return (
        f"{config.game}: {type(trainer).__name__}, {parameters:,} parameters, "
        f"{torch.get_num_threads()} thread(s), seed {config.seed}"
    )
