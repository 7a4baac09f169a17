"""One Ray for the session, and a folder whose name has a space in it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A Ray that the user has initialised before any swarm."""
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray.init(
        address="local",  # not the cluster of a test in the other process
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200_000_000,
        configure_logging=False,
        logging_level=logging.ERROR,
    )
    yield
    ray.shutdown()


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Where experiments lie."""
    return str(tmp_path / "My Drive")
