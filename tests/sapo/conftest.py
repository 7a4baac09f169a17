"""One scoring process for all rounds."""

from collections.abc import Iterator

import pytest

from swarm_ray.config.schema import TasksConfig
from swarm_ray.tasks.scoring import Scorer


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
