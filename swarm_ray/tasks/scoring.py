"""Scores completions in a process of its own, remembering what was scored before."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from swarm_ray.config.schema import TasksConfig
from swarm_ray.records.rollouts import QuestionRef
from swarm_ray.tasks.scoring_client import ChildLost, Score, ScoreItem, ScoringClient, Start

OPEN, CLOSE = "<answer>", "</answer>"
CACHED_SCORES = 100_000
MAX_ANSWER_CHARS = 100_000
"""A longer answer answers no question of these pools; it fails without being sent."""
GRACE_S = 5.0
"""Beyond a verifier's own limit, for making the question and for a busy machine; then it is killed."""
STRIKES = 2

Key = tuple[QuestionRef, str | bytes]


class Verifier(Protocol):
    """Scores completions; `Scorer` does it in a process of its own."""

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score per item, in order."""


class Scorer(AbstractContextManager["Scorer", None]):
    """Scores whole rounds; one request at a time goes to the process, whichever thread asks.

    Results are kept by (question, extracted answer), except timeouts, which may be the machine's fault.
    """

    def __init__(self, config: TasksConfig, *, allowed_modules: tuple[str, ...] | None = None) -> None:
        """Remember what to start; `start` or the first `score` starts it.

        Args:
            config: Of the experiment.
            allowed_modules: As for `TaskSet`.
        """
        self._config = config
        self._start = Start(config.model_dump_json().encode(), allowed_modules)
        self._child: ScoringClient | None = None
        self._cache: OrderedDict[Key, Score] = OrderedDict()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the process and return at once, so that its imports overlap with other work."""
        with self._lock:
            self._running()

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """Score completions; equal ones are scored once.

        Returns:
            One score per item, in order.

        Raises:
            ScoringError: The process does not start.
        """
        with self._lock:
            refusing = self._running().ready().refuses_external if items else ()
            answers = [item._replace(text=extract(item.text, self._config.answer)) for item in items]
            scores = [self._at_once(answer, refusing) for answer in answers]
            keys = [_key(answer) for answer in answers]
            asked = {key: one for key, one, score in zip(keys, answers, scores, strict=True) if score is None}
            found = dict(zip(asked, self._run(list(asked.values())), strict=True))
            return [found[key] if score is None else score for key, score in zip(keys, scores, strict=True)]

    def close(self) -> None:
        """End the process; a later `score` would start another."""
        with self._lock:
            self._drop(kill=False)

    def __exit__(self, *_: object) -> None:
        self.close()

    def _at_once(self, answer: ScoreItem, refusing: Sequence[str]) -> Score | None:
        """The score that needs no verifier: refused, too long, or known."""
        if answer.external and answer.question.specialty in refusing:
            return Score(0.0, "refused")
        if len(answer.text) > MAX_ANSWER_CHARS:
            return Score(0.0, "error")
        key = _key(answer)
        if key in self._cache:
            self._cache.move_to_end(key)
        return self._cache.get(key)

    def _run(self, answers: list[ScoreItem]) -> list[Score]:
        """Have the process score answers, past those that end it.

        The process scores one by one, so the one without a score is the culprit; it gets a second chance
        in a fresh process, since the machine may have killed the first for reasons of its own.
        """
        scores: list[Score] = []
        strikes = 0
        while len(scores) < len(answers):
            child = self._running()
            child.ready()
            try:
                for score in child.scores(answers[len(scores) :], self._config.score_timeout_s + GRACE_S):
                    scores.append(self._remembered(answers[len(scores)], score))
                    strikes = 0
            except ChildLost:
                self._drop(kill=True)
                strikes += 1
                if strikes == STRIKES:
                    scores.append(self._remembered(answers[len(scores)], Score(0.0, "killed")))
                    strikes = 0
        return scores

    def _remembered(self, answer: ScoreItem, score: Score) -> Score:
        if score.outcome != "timeout":
            self._cache[_key(answer)] = score
            if len(self._cache) > CACHED_SCORES:
                self._cache.popitem(last=False)
        return score

    def _running(self) -> ScoringClient:
        """The process; starts one if necessary."""
        if self._child is None:
            self._child = ScoringClient(self._start)
        return self._child

    def _drop(self, *, kill: bool) -> None:
        if self._child is not None:
            self._child.close(kill=kill)
            self._child = None


def _key(answer: ScoreItem) -> Key:
    """What a score depends on; long answers by hash, to bound the memory of the cache."""
    text = answer.text
    return answer.question, text if len(text) <= 64 else hashlib.sha256(text.encode()).digest()


def extract(text: str, mode: Literal["whole", "tagged"]) -> str:
    """The answer in a completion.

    Args:
        text: A decoded completion.
        mode: `whole` takes all of it; `tagged` what stands between the last `<answer>` and `</answer>`, as
            `reasoning_gym.utils.extract_answer` does, and nothing ("") without such a pair.

    Returns:
        The answer without surrounding white space, encodable as UTF-8 (lone surrogates become `?`).
    """
    answer = (text if mode == "whole" else _last_tagged(text)).strip()
    return answer if answer.isascii() else answer.encode("utf-8", "replace").decode("utf-8")


def _last_tagged(text: str) -> str:
    """The last tagged part, in one pass.

    The library's lazy regular expression takes quadratic time on text with many opening tags and no closing
    one, and the text may come from a stranger.
    """
    parts = (part.partition(OPEN) for part in reversed(text.split(CLOSE)[:-1]))
    return next((inside for _, opened, inside in parts if opened), "")
