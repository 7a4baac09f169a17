"""The questions of an experiment: made from (specialty, seed, index), verified, drawn, held out by hash."""

from __future__ import annotations

import importlib
import random
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

from swarm_ray.config.schema import SpecialtyConfig, TasksConfig
from swarm_ray.errors import ConfigError, UnknownQuestionError, UserError
from swarm_ray.records.refusals import RolloutRefusal
from swarm_ray.records.rollouts import QuestionRef
from swarm_ray.tasks.gym import GymTask
from swarm_ray.tasks.safe_verifiers import is_safe_for_external
from swarm_ray.tasks.task import Question, Task, registered, text_hash

CACHED_QUESTIONS = 8192
SCAN = 3000
REDRAWS = 1000


class TaskSet:
    """All specialties of an experiment."""

    def __init__(self, config: TasksConfig, *, allowed_modules: tuple[str, ...] | None = None) -> None:
        """Import the users' modules and make every task, so that a wrong configuration shows at once.

        Args:
            config: Of the experiment.
            allowed_modules: The only modules that may be imported (an experiment's configuration may be a
                stranger's); None allows all.

        Raises:
            UserError: `tasks.modules` names a module that is not allowed.
            ConfigError: A module, task or option is unknown or impossible.
        """
        _import_modules(config.modules, allowed_modules)
        self.config = config
        self.specialties: tuple[str, ...] = tuple(s.name for s in config.specialties)
        self.tasks: Mapping[str, Task] = {
            s.name: _make_task(s, config.pool, f"tasks.specialties[{i}]")
            for i, s in enumerate(config.specialties)
        }
        self.refuses_external: frozenset[str] = frozenset(
            s.name for s in config.specialties if not is_safe_for_external(s.task or s.name)
        )
        self._weights = [s.weight for s in config.specialties]
        self._cached = lru_cache(maxsize=CACHED_QUESTIONS)(self._make)
        self._scanned = cache(self._scan_held_out)

    def question(self, specialty: str, seed: int, index: int) -> Question:
        """Make a question, or find it among those made before.

        Raises:
            UnknownQuestionError: Unknown specialty.
            TaskError: The task cannot make it.
        """
        return self._cached(specialty, seed, index)

    def verify(self, ref: QuestionRef) -> Question:
        """Make again the question that a peer names, and check that it is one of the training pool.

        Raises:
            UnknownQuestionError: It is not; the message is one of a few fixed reasons, fit for counting.
            TaskError: The task cannot make it.
        """
        for refused, reason in (
            (ref.specialty not in self.tasks, RolloutRefusal.UNKNOWN_SPECIALTY),
            (ref.seed != self.config.seed, RolloutRefusal.OTHER_SEED),
            (not 0 <= ref.index < self.config.pool, RolloutRefusal.OUTSIDE_POOL),
        ):
            if refused:
                raise UnknownQuestionError(reason)
        question = self._cached(ref.specialty, ref.seed, ref.index)
        if question.ref.text_hash != ref.text_hash:
            raise UnknownQuestionError(RolloutRefusal.OTHER_TEXT)
        if self.is_held_out(question.text):
            raise UnknownQuestionError(RolloutRefusal.HELD_OUT)
        return question

    def draw(self, rng: random.Random, count: int) -> list[Question]:
        """Draw training questions: specialties with replacement by weight, then an index each.

        Args:
            rng: The only source of chance.
            count: Questions to draw.

        Raises:
            ConfigError: A specialty has no question that is not held out.
        """
        return [self._draw_one(rng, name) for name in rng.choices(self.specialties, self._weights, k=count)]

    def held_out(self, count: int) -> dict[str, list[Question]]:
        """Per specialty the first `count` different held-out questions of the pool, or all it has."""
        return {name: list(self._scanned(name, count)) for name in self.specialties}

    def is_held_out(self, text: str) -> bool:
        """Whether a question's text is split off for evaluation: by its sha256, the same for everybody."""
        return int(text_hash(text), 16) < self.config.held_out * 2**64

    def _draw_one(self, rng: random.Random, specialty: str) -> Question:
        for _ in range(REDRAWS):
            question = self._cached(specialty, self.config.seed, rng.randrange(self.config.pool))
            if not self.is_held_out(question.text):
                return question
        raise ConfigError(
            f"tasks.specialties: {specialty} has no question to train on: {self.config.pool} are held out; "
            "lower tasks.held_out or give the specialty more questions"
        )

    def _scan_held_out(self, specialty: str, count: int) -> list[Question]:
        """Scan the pool in index order, past the cache, which the training questions need."""
        found: dict[str, Question] = {}
        for index in range(min(self.config.pool, SCAN)):
            if len(found) >= count:
                break
            question = self._make(specialty, self.config.seed, index)
            if self.is_held_out(question.text):
                found.setdefault(question.text, question)
        return list(found.values())

    def _make(self, specialty: str, seed: int, index: int) -> Question:
        task = self.tasks.get(specialty)
        if task is None:
            raise UnknownQuestionError(RolloutRefusal.UNKNOWN_SPECIALTY)
        made = task.question(seed, index)
        return Question(specialty, seed, index, made.text, made.reference, made.entry)


def require_modules(config: TasksConfig, trusted: Sequence[str]) -> None:
    """Make sure that each module that somebody trusts is one of the experiment's, and can be imported.

    Raises:
        UserError: one is not, or cannot; a misspelt name would else be passed over.
    """
    for name in trusted:
        if name not in config.modules:
            known = f"it has {', '.join(map(repr, config.modules))}" if config.modules else "it has none"
            raise UserError(
                f"--module {name}: the experiment has no such module of its own (tasks.modules); {known}"
            )
    for name in trusted:
        try:
            importlib.import_module(name)
        except (ImportError, SyntaxError) as error:
            raise UserError(
                f"--module {name}: it cannot be imported ({error}); give the command in its folder, or install it"
            ) from error


def _import_modules(modules: tuple[str, ...], allowed: tuple[str, ...] | None) -> None:
    """Import the modules that register tasks; none before all are found to be allowed."""
    for name in modules:
        if allowed is not None and name not in allowed:
            raise UserError(
                f"the experiment wants to import the Python module {name!r} (tasks.modules); "
                "name it on your own command line if you trust it"
            )
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(f"tasks.modules: cannot import {name!r}: {error}") from error


def _make_task(specialty: SpecialtyConfig, pool: int, where: str) -> Task:
    name = specialty.task or specialty.name
    if (factory := registered(name)) is not None:
        return factory(specialty.options)
    return GymTask(name, specialty.options, pool=pool, where=where)
