"""Where this machine keeps what can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$SWARM_RAY_CACHE`, else `$XDG_CACHE_HOME/swarm-ray`, else `~/.cache/swarm-ray`."""
    named = os.environ.get("SWARM_RAY_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swarm-ray"
