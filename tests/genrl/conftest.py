"""One scoring process for all of reasoning-gym."""

import io
from collections.abc import Iterator

import pytest
import yaml
from games_for_tests import DATASETS
from reasoning_gym.composite import CompositeConfig

from swarm_ray.genrl.questions import GymQuestions
from swarm_ray.tasks.scoring import Scorer


@pytest.fixture(scope="session")
def gym() -> GymQuestions:
    config = CompositeConfig.from_yaml_stream(io.StringIO(yaml.safe_dump(DATASETS)))
    return GymQuestions(config, 500, "whole")


@pytest.fixture(scope="session")
def verifier(gym: GymQuestions) -> Iterator[Scorer]:
    with Scorer(gym.config) as scorer:
        yield scorer
