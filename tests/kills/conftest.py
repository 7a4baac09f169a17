"""The small swarm and its machines are those of tests/swarm."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parent), str(Path(__file__).parent.parent / "swarm")]
