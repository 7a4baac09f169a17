from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from checkpoints_for_tests import Trial, make_store

from drive_store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "root")


@pytest.fixture
def trial(tmp_path: Path, store: Store) -> Iterator[Callable[..., Trial]]:
    """Makes checkpointers that end with the test; `store_every_s` and the like change the configuration."""
    made: list[Trial] = []

    def make(folder: str = "here", **config: object) -> Trial:
        made.append(Trial(tmp_path / folder, store, **config))
        return made[-1]

    yield make
    for one in made:
        one.checkpointer.close()
