"""What a task is: it makes questions from (seed, index) and scores answers; and how users register their own.

`register_task` makes one from two functions; `register` takes a class that does more.
"""

from __future__ import annotations

import hashlib
import inspect
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple, Protocol

from swarm_ray.errors import ConfigError, TaskError
from swarm_ray.records.rollouts import QuestionRef

Entry = Mapping[str, Any]


class TaskQuestion(NamedTuple):
    """A question as a task makes it."""

    text: str
    reference: str
    """An answer that the task scores as right, or "" where the data set gives none."""
    entry: Entry
    """What the task needs to score an answer; it never leaves the process that made it."""


class Task(Protocol):
    """Makes questions and scores answers; the same (seed, index) gives the same question in every process."""

    name: str

    def question(self, seed: int, index: int) -> TaskQuestion:
        """The question at `index` of the pool of `seed`."""

    def score(self, answer: str, entry: Entry) -> float:
        """The reward of `answer`, between 0 and 1; an exception counts as a failed verification."""


TaskFactory = Callable[[Mapping[str, Any]], Task]
Ask = Callable[..., tuple[str, str]]
"""Called with a random stream, the only source of chance, and the specialty's options; answers a question's text and
a right answer to it."""
Score = Callable[[str, str], float]
"""Called with an answer and the right one; answers the reward, from 0 to 1."""

_REGISTERED: dict[str, TaskFactory] = {}


@dataclass(frozen=True)
class Question:
    """A question of a specialty, with all that is needed to score answers to it."""

    specialty: str
    seed: int
    index: int
    text: str
    reference: str
    """An answer that the verifier scores as right; for warm starts."""
    entry: Entry = field(compare=False, repr=False)
    """The data set's own entry, for the verifier."""

    @cached_property
    def ref(self) -> QuestionRef:
        """The name under which the question travels."""
        return QuestionRef(self.specialty, self.seed, self.index, text_hash(self.text))


def text_hash(text: str) -> str:
    """The first 16 hex digits of the sha256 of the UTF-8 text (`QuestionRef.text_hash`)."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def gym_datasets() -> dict[str, tuple[type, type]]:
    """The class and the configuration class of each data set that the installed reasoning-gym has, by name.

    `composite` is left out: it scores by other data sets' verifiers. The library is imported when it is first needed,
    since that takes more than a second.
    """
    import reasoning_gym  # noqa: F401  (its import fills the registry)
    from reasoning_gym.factory import DATASETS

    return {name: classes for name, classes in sorted(DATASETS.items()) if name != "composite"}


def register(task_name: str, factory: TaskFactory) -> None:
    """Make a task known under a name; called while a module named in `tasks.modules` is imported.

    Args:
        task_name: What `task` of a specialty says.
        factory: Makes the task from the specialty's options.

    Raises:
        ConfigError: The name belongs to a reasoning-gym data set or to another factory.
    """
    if task_name in gym_datasets():
        raise ConfigError(f"a task cannot be called {task_name!r}: reasoning-gym has a data set of that name")
    known = _REGISTERED.get(task_name, factory)
    # A module that is imported again makes its functions anew, which is not another factory.
    if known is not factory and _origin(known) != _origin(factory):
        raise ConfigError(
            f"two tasks are registered as {task_name!r}: by {_origin(known)} and {_origin(factory)}"
        )
    _REGISTERED[task_name] = factory


def registered(task_name: str) -> TaskFactory | None:
    """The factory registered under a name, or None."""
    return _REGISTERED.get(task_name)


def registered_names() -> tuple[str, ...]:
    """All registered names, sorted."""
    return tuple(sorted(_REGISTERED))


def _origin(factory: TaskFactory) -> str:
    name = getattr(factory, "__qualname__", repr(factory))
    code = getattr(factory, "__code__", None)
    line = f" in line {code.co_firstlineno}" if code is not None and name.endswith("<lambda>") else ""
    return f"{factory.__module__}.{name}{line}"


def same_text(answer: str, right: str) -> float:
    """1 for the right answer to the letter, else 0."""
    return float(answer == right)


def register_task(name: str, ask: Ask, score: Score = same_text) -> None:
    """Make a task known; called in a module that `tasks.modules` names, when it is imported.

    Args:
        name: what `tasks.specialties` calls it.
        ask: makes a question and its answer. One stream gives one question, in every process.
        score: scores an answer. It runs in a process of its own, with limits on time and memory; what it raises, and
            anything but a number from 0 to 1, counts as a failed verification.

    Raises:
        ConfigError: the name belongs to a data set of reasoning-gym, or to another task.
    """

    def make(options: Mapping[str, Any]) -> Task:
        return _OwnTask(name, ask, score, options)

    # A cell or a module that runs again makes its functions anew, which is not a second task.
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
