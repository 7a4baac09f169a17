"""What became of the runs of a sweep that were to be done."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """How the runs ended."""

    done: list[str] = field(default_factory=list)
    """Experiments that were run to their end."""
    failed: dict[str, str] = field(default_factory=dict)
    """Experiment to why, on one line."""
    interrupted: bool = False
