"""Makes the small swarm of `tests/swarm` known here, and one scoring process for all rounds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent.parent / "swarm"))

from swarm_ray.config.schema import TasksConfig
from swarm_ray.tasks.scoring import Scorer


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tasks_config() -> TasksConfig:
    """`countdown` has a verifier that evaluates text."""
    return TasksConfig.model_validate(
        {"specialties": ["coin", "never", "countdown"], "modules": ["swarm_tasks_for_tests"], "pool": 600}
    )


@pytest.fixture(scope="session")
def verifier(tasks_config: TasksConfig) -> Iterator[Scorer]:
    with Scorer(tasks_config) as scorer:
        yield scorer
