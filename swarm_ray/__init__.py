"""Swarm Ray: swarms of small language models that learn to reason by sharing rollouts (SAPO, arXiv 2509.08721).

Names are loaded when they are first used (PEP 562), so that `import swarm_ray` needs neither torch nor Ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarm_ray.config import SwarmConfig
    from swarm_ray.experiments import compare_experiments, experiment_status, list_experiments
    from swarm_ray.settings import load_config
    from swarm_ray.swarm import Swarm, coordinate, simulate, work

_HOMES = {
    "Swarm": "swarm_ray.swarm",
    "SwarmConfig": "swarm_ray.config",
    "compare_experiments": "swarm_ray.experiments",
    "coordinate": "swarm_ray.swarm",
    "experiment_status": "swarm_ray.experiments",
    "list_experiments": "swarm_ray.experiments",
    "load_config": "swarm_ray.settings",
    "simulate": "swarm_ray.swarm",
    "work": "swarm_ray.swarm",
}

__all__ = [
    "Swarm",
    "SwarmConfig",
    "compare_experiments",
    "coordinate",
    "experiment_status",
    "list_experiments",
    "load_config",
    "simulate",
    "work",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module 'swarm_ray' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
