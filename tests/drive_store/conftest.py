"""The folder of an experiment called tea, and a spool of its node n1."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from spool_for_tests import Clock, open_spool, open_store

from drive_store import ExperimentPaths, ExperimentStore, Spool, make_node_folders
from drive_store.testing import FaultyStore


@pytest.fixture
def store(tmp_path: Path) -> FaultyStore:
    return open_store(tmp_path / "root")


@pytest.fixture
def tea(store: FaultyStore) -> ExperimentStore:
    tea = ExperimentStore(store, ExperimentPaths("tea"))
    make_node_folders(tea, "n1", "0123abcd")
    return tea


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(store: FaultyStore, clock: Clock, tmp_path: Path) -> Spool:
    return open_spool(store, clock, tmp_path / "own")


@pytest.fixture
def reopen(store: FaultyStore, clock: Clock, tmp_path: Path) -> Callable[[str], Spool]:
    """The spool as the next process of the node finds it, by that one's incarnation."""
    return partial(open_spool, store, clock, tmp_path / "own")
