"""The starts of the embedded model: a skill, and the habit that hides it, the same for all nodes or sparse and mixed.

A constructed analogue of a pretrained model whose skill is there and not elicited. The letters are the project's own
names; a start is accepted by its outcome, not by its recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Start:
    """A habit laid over the skill: with chance `elsewhere` (or `home`) the right answer, else the habit."""

    habit: Literal["refuse", "copy"]
    """refuse: answer `?`; copy: the first number of the question's last line."""
    home: float
    """Chance of the right answer in the node's home specialty."""
    elsewhere: float
    """Chance of the right answer in any other specialty."""
    steps: int
    batch: int
    learning_rate: float
    shared: bool
    """True: all nodes start from one checkpoint."""
    most_pass_at_1: float
    """A start whose mean pass@1 is above this is trained on, for it hides too little."""


STARTS: dict[str, Start] = {
    "C0": Start("refuse", 0.08, 0.08, 30, 48, 5e-4, shared=True, most_pass_at_1=0.15),
    "C1": Start("refuse", 0.5, 0.02, 60, 48, 5e-4, shared=False, most_pass_at_1=0.05),
    "C5": Start("refuse", 0.06, 0.0, 80, 32, 1e-3, shared=False, most_pass_at_1=0.002),
    "B2": Start("copy", 0.5, 0.02, 60, 48, 5e-4, shared=False, most_pass_at_1=0.25),
}
