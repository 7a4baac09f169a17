"""Tasks whose rewards a model without training can earn, or never will; registered in each process that needs them."""

import hashlib
from collections.abc import Mapping
from typing import Any

from swarm_ray.tasks.task import _REGISTERED, Entry, TaskQuestion


def coin(index: int, answer: str) -> float:
    """1.0 for half of all answers: a blank model is right now and then, so that its groups have an advantage."""
    return float(hashlib.sha256(f"{index}/{answer}".encode()).digest()[0] % 2)


class Coin:
    """Questions with a fair coin for a verifier; `long` is an index whose question is too long for any prompt."""

    name = "coin"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._long = options.get("long", -1)

    def question(self, seed: int, index: int) -> TaskQuestion:
        text = f"Toss coin {index}: "
        if index == self._long:
            text += " ".join(hashlib.sha256(f"{index}/{n}".encode()).hexdigest() for n in range(40))
        return TaskQuestion(text=text, reference="", entry={"index": index})

    def score(self, answer: str, entry: Entry) -> float:
        return coin(entry["index"], answer)


class Never:
    """No answer is right."""

    name = "never"

    def question(self, seed: int, index: int) -> TaskQuestion:
        return TaskQuestion(text=f"Guess {index}: ", reference="", entry={})

    def score(self, answer: str, entry: Entry) -> float:
        return 0.0


class Broken:
    """A task with a mistake in it: the question at index `at` cannot be made."""

    name = "broken"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._at = options.get("at", -1)

    def question(self, seed: int, index: int) -> TaskQuestion:
        return TaskQuestion(text=f"Divide {1 // (index - self._at)}: ", reference="", entry={"index": index})

    def score(self, answer: str, entry: Entry) -> float:
        return coin(entry["index"], answer)


def make_never(options: Mapping[str, Any]) -> Never:
    return Never()


# `register` would load reasoning-gym, to see that none of its data sets has the name: a second in every process.
_REGISTERED.update({"coin": Coin, "never": make_never, "broken": Broken})
