"""Tasks of one's own from two functions: one that asks, and one that scores."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from swarm_ray.errors import ConfigError, TaskError
from swarm_ray.tasks.protocol import Entry, Task, TaskQuestion, register

Ask = Callable[..., tuple[str, str]]
"""Called with a random stream, the only source of chance, and the specialty's options; answers a question's text and
a right answer to it."""
Score = Callable[[str, str], float]
"""Called with an answer and the right one; answers the reward, from 0 to 1."""


def same_text(answer: str, right: str) -> float:
    """1 for the right answer to the letter, else 0."""
    return float(answer == right)


def register_task(name: str, ask: Ask, score: Score = same_text) -> None:
    """Make a task known; called in a module that `tasks.modules` names, when it is imported.

    Args:
        name: what `tasks.specialties` calls it.
        ask: makes a question and its answer. One stream gives one question, in every process.
        score: scores an answer. It runs in a process of its own, with limits on time and memory; what it raises, and
            what is no number from 0 to 1, counts as a failed verification.

    Raises:
        ConfigError: the name belongs to a data set of reasoning-gym, or to another task.
    """

    def make(options: Mapping[str, Any]) -> Task:
        return _OwnTask(name, ask, score, options)

    # A cell or a module that runs again makes its functions anew, and is no second task.
    make.__module__, make.__qualname__ = ask.__module__, ask.__qualname__
    register(name, make)


class _OwnTask:
    """A task around the two functions.

    Raises:
        ConfigError: `ask` does not take the options.
        TaskError: `ask` does not answer two texts.
    """

    def __init__(self, name: str, ask: Ask, score: Score, options: Mapping[str, Any]) -> None:
        self.name, self._score = name, score
        try:
            inspect.signature(ask).bind(random.Random(0), **options)
        except TypeError as error:
            known = ", ".join(list(inspect.signature(ask).parameters)[1:]) or "none"
            raise ConfigError(
                f"task {name!r} does not take these options: {error}; it has {known}"
            ) from error
        self._ask = partial(ask, **options)
        self.question(0, 0)

    def question(self, seed: int, index: int) -> TaskQuestion:
        """The question at `index` of the pool of `seed`."""
        made = self._ask(random.Random(f"{self.name}/{seed}/{index}"))
        if not (isinstance(made, tuple) and len(made) == 2 and all(isinstance(text, str) for text in made)):
            raise TaskError(
                f"task {self.name!r} answers {made!r}; it must be two texts, the question and a right answer"
            )
        text, right = made
        return TaskQuestion(text, right, {"right": right})

    def score(self, answer: str, entry: Entry) -> float:
        """The reward of `answer`."""
        return self._score(answer, entry["right"])
