"""Helpers of other folders of tests."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("swarm", "exchange", "actors"):
    sys.path.append(str(Path(__file__).parent.parent / folder))
