"""GenRL games over a shared folder: a communication back end, a coordinator, a game manager, a trainer.

Names are loaded when they are first used, since they need GenRL (`pip install 'swarm-ray[genrl]'`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarm_ray.genrl.communication import FolderCommunication
    from swarm_ray.genrl.coordinator import GameCoordinator
    from swarm_ray.genrl.manager import SwarmGameManager
    from swarm_ray.genrl.math import MathDataManager, math_rewards
    from swarm_ray.genrl.place import GamePlace
    from swarm_ray.genrl.policy_trainer import PolicyTrainer
    from swarm_ray.genrl.recipe import read_recipe
    from swarm_ray.genrl.rewards import GymRewards
    from swarm_ray.genrl.rgym import GymDataManager

_HOMES = {
    "FolderCommunication": "swarm_ray.genrl.communication",
    "GameCoordinator": "swarm_ray.genrl.coordinator",
    "GamePlace": "swarm_ray.genrl.place",
    "GymDataManager": "swarm_ray.genrl.rgym",
    "GymRewards": "swarm_ray.genrl.rewards",
    "MathDataManager": "swarm_ray.genrl.math",
    "PolicyTrainer": "swarm_ray.genrl.policy_trainer",
    "SwarmGameManager": "swarm_ray.genrl.manager",
    "math_rewards": "swarm_ray.genrl.math",
    "read_recipe": "swarm_ray.genrl.recipe",
}

__all__ = [
    "FolderCommunication",
    "GameCoordinator",
    "GamePlace",
    "GymDataManager",
    "GymRewards",
    "MathDataManager",
    "PolicyTrainer",
    "SwarmGameManager",
    "math_rewards",
    "read_recipe",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module.

    Raises:
        UserError: GenRL is not installed.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'swarm_ray.genrl' has no attribute {name!r}")
    from swarm_ray.genrl.extra import require_genrl

    require_genrl()
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
