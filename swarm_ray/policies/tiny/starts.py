"""The starts of the embedded model: what they are, where they are kept, and which are there; without torch.

A start is a skill and a habit that hides it, the same for all nodes or sparse and mixed: a constructed analogue of a
pretrained model whose skill is there and not elicited. The letters are the project's own names; a start is accepted by
its outcome, not by its recipe. The folder's name is a hash of all that the weights depend on.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open

from swarm_ray.config.schema import TasksConfig
from swarm_ray.tasks.streams import derive_seed


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

RECIPE = 1
"""Counted up when the warm start changes, so that no stale start is loaded."""
SKILL = "skill"
TOKENIZER = "tokenizer/tokenizer.json"
"""In a start folder; the last file of the tokenizer that is written."""


def start_index(node: str) -> int:
    """Which start a node takes, from the numbers in its id: `node-5` takes 5, `worker_2-1` takes 3 * 2 + 1.

    So the nodes of a few workers start from different homes without asking each other.
    """
    numbers = [int(n) for n in re.findall(r"\d{1,6}", node)]
    if not numbers:
        return derive_seed(0, node, 0, "start") % 8
    return numbers[0] if len(numbers) == 1 else 3 * numbers[-2] + numbers[-1]


def start_folder(tasks: TasksConfig, seed: int, folder: Path) -> Path:
    """Where the starts of these tasks and this `policy.start_seed` are kept below the cache's folder."""
    parts = {
        "recipe": RECIPE,
        "tasks": tasks.model_dump(mode="json"),
        "seed": seed,
        "reasoning_gym": version("reasoning-gym"),
    }
    return folder / f"tiny-{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]}"


def start_names(start: str, indices: Iterable[int]) -> list[str]:
    """The names of the weights that the starts numbered `indices` need, those of the last one last."""
    if start == "blank":
        return []
    own = (f"{start}-{0 if STARTS[start].shared else index:03d}" for index in indices if start != "base")
    return list(dict.fromkeys((SKILL, *own)))


def start_file(home: Path, name: str) -> Path:
    """Where weights of that name lie in a `start_folder`."""
    return home / f"{name}.safetensors"


def is_made(file: Path) -> bool:
    """Whether weights are there, and whole as far as their header tells."""
    try:
        with safe_open(file, framework="numpy"):
            return True
    except (FileNotFoundError, SafetensorError):
        return False


def all_made(home: Path, start: str, indices: Iterable[int]) -> bool:
    """Whether nothing that the starts numbered `indices` need is to be made any more in a `start_folder`."""
    made = all(is_made(start_file(home, name)) for name in start_names(start, indices))
    return made and (home / TOKENIZER).exists()
