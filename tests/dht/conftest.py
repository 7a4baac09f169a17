"""Two links for the session, which know each other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from dht_for_tests import started

from swarm_ray.exchange.hivemind.link import DhtLink


@pytest.fixture(scope="session")
def links() -> Iterator[tuple[DhtLink, DhtLink]]:
    first = started()
    second = started(*first.multiaddrs)
    yield first, second
    first.close()
    second.close()
