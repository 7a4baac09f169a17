"""Makes the writer of experiments and the process trees of other tests known here."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("experiments", "swarm"):
    sys.path.append(str(Path(__file__).parent.parent / folder))
