"""Makes the writer of experiments, and the swarm of one process, known here."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parent.parent / name) for name in ("experiments", "actors", "swarm")]
