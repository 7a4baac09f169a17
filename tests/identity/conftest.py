"""A disk of its own for each test's keys,."""

from pathlib import Path

import pytest
from keys_for_tests import rsa_key


@pytest.fixture(autouse=True)
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This machine's own folder."""
    monkeypatch.setenv("SWARM_RAY_STATE", str(tmp_path / "own disk"))
    monkeypatch.delenv("SWARM_RAY_IDENTITIES", raising=False)
    return tmp_path / "own disk"


@pytest.fixture(scope="session")
def rsa() -> bytes:
    """What RL Swarm's `swarm.pem` holds."""
    return rsa_key(2048)
