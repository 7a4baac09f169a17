"""Makes the folder of `tests/exchange` known here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parent.parent / name) for name in ("swarm", "exchange", "experiments")]

from folder_for_tests import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)
