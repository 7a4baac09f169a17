"""Makes the swarm in one process of `tests/actors`, and what that needs, known here."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parent.parent / name) for name in ("actors", "swarm", "exchange")]
