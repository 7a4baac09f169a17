"""GenRL games over a shared folder: a communication back end, a coordinator, a game manager, a trainer.

Names are loaded when they are first used, since they need GenRL (`pip install 'swarm-ray[genrl]'`).
"""

from __future__ import annotations

import importlib
import importlib.util
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from swarm_ray.errors import UserError
from swarm_ray.machine.versions import version_numbers

if TYPE_CHECKING:
    from swarm_ray.genrl.communication import GameCoordinator
    from swarm_ray.genrl.folder_communication import FolderCommunication
    from swarm_ray.genrl.manager import SwarmGameManager
    from swarm_ray.genrl.math import MathDataManager, math_rewards
    from swarm_ray.genrl.policy_trainer import PolicyTrainer
    from swarm_ray.genrl.recipe import read_recipe
    from swarm_ray.genrl.recorder import GamePlace
    from swarm_ray.genrl.rgym import GymDataManager, GymRewards

PACKAGE = "gensyn-genrl"
SERIES = (0, 3)
"""The releases that are supported, by their first two numbers; tested with 0.3.0 on Python 3.11 and 3.13."""
_HOMES = {
    "FolderCommunication": "swarm_ray.genrl.folder_communication",
    "GameCoordinator": "swarm_ray.genrl.communication",
    "GamePlace": "swarm_ray.genrl.recorder",
    "GymDataManager": "swarm_ray.genrl.rgym",
    "GymRewards": "swarm_ray.genrl.rgym",
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
    require_genrl()
    return getattr(importlib.import_module(_HOMES[name]), name)


def require_genrl() -> None:
    """Make sure that what imports genrl may be imported.

    Raises:
        UserError: it is not installed, or of another series; one line that says what to install.
    """
    install = "install it with: pip install 'swarm-ray[genrl]'"
    try:
        found = version(PACKAGE)
    except PackageNotFoundError:
        found = ""
    if not found or importlib.util.find_spec("genrl") is None:
        raise UserError(f"GenRL's games need the package {PACKAGE}, which is not installed; {install}")
    if version_numbers(found)[:2] != SERIES:
        wanted = ".".join(map(str, SERIES))
        raise UserError(
            f"GenRL's games work with {PACKAGE} {wanted}, and {found} is installed; "
            f"pip install '{PACKAGE}=={wanted}.*'"
        )


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
