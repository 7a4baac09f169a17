"""Scores completions in a process of its own, remembering what was scored before."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, NamedTuple, Protocol, Self

from swarm_ray.config.schema import TasksConfig
from swarm_ray.records.rollouts import QuestionRef
from swarm_ray.tasks.scoring_client import ChildLost, ScoringClient
from swarm_ray.tasks.scoring_messages import Job, Score, Start

OPEN, CLOSE = "<answer>", "</answer>"
CACHED_SCORES = 100_000
MAX_ANSWER_CHARS = 100_000
"""A longer answer answers no question of these pools; it fails without being sent."""
GRACE_S = 5.0
"""Beyond a verifier's own limit, for making the question and for a busy machine; then it is killed."""
STRIKES = 2

Key = tuple[str, int, int, str, str | bytes]


class ScoreItem(NamedTuple):
    """A completion to score."""

    question: QuestionRef
    """A peer's passes `TaskSet.verify` first."""
    text: str
    """The whole completion; the answer is extracted from it."""
    external: bool = False
    """True for a peer's text: verifiers that evaluate text refuse it."""


class Verifier(Protocol):
    """Scores completions; `Scorer` does it in a process of its own."""

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score per item, in order."""
        ...


class Scorer:
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
        self._refusing: frozenset[str] | None = None
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
            refusing = self._refusing_specialties() if items else frozenset()
            jobs = [self._job(item) for item in items]
            scores: list[Score | None] = [self._at_once(job, refusing) for job in jobs]
            keys = [_key(job) for job in jobs]
            asked = {key: job for key, job, score in zip(keys, jobs, scores, strict=True) if score is None}
            answers = dict(zip(asked, self._run(list(asked.values())), strict=True))
            return [answers[k] if score is None else score for k, score in zip(keys, scores, strict=True)]

    def close(self) -> None:
        """End the process; a later `score` would start another."""
        with self._lock:
            self._drop(kill=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _job(self, item: ScoreItem) -> Job:
        ref, answer = item.question, extract(item.text, self._config.answer)
        return Job(ref.specialty, ref.seed, ref.index, ref.text_hash, answer, item.external)

    def _at_once(self, job: Job, refusing: frozenset[str]) -> Score | None:
        """The score that needs no verifier: refused, too long, or known."""
        if job.external and job.specialty in refusing:
            return Score(0.0, "refused")
        if len(job.answer) > MAX_ANSWER_CHARS:
            return Score(0.0, "error")
        score = self._cache.get(_key(job))
        if score is not None:
            self._cache.move_to_end(_key(job))
        return score

    def _run(self, jobs: list[Job]) -> list[Score]:
        """Have the process score jobs, past those that end it.

        The process answers job by job, so the one without an answer is the culprit; it gets a second chance
        in a fresh process, since the machine may have killed the first for reasons of its own.
        """
        scores: list[Score] = []
        strikes = 0
        while len(scores) < len(jobs):
            child = self._running()
            child.ready()
            try:
                for score in child.scores(jobs[len(scores) :], self._config.score_timeout_s + GRACE_S):
                    scores.append(self._remembered(jobs[len(scores)], score))
                    strikes = 0
            except ChildLost:
                self._drop(kill=True)
                strikes += 1
                if strikes == STRIKES:
                    scores.append(self._remembered(jobs[len(scores)], Score(0.0, "killed")))
                    strikes = 0
        return scores

    def _remembered(self, job: Job, score: Score) -> Score:
        if score.outcome != "timeout":
            self._cache[_key(job)] = score
            if len(self._cache) > CACHED_SCORES:
                self._cache.popitem(last=False)
        return score

    def _refusing_specialties(self) -> frozenset[str]:
        """The specialties that refuse external text, as the process judges them."""
        if self._refusing is None:
            self._refusing = frozenset(self._running().ready().refuses_external)
        return self._refusing

    def _running(self) -> ScoringClient:
        """The process; starts one if necessary."""
        if self._child is None:
            self._child = ScoringClient(self._start)
        return self._child

    def _drop(self, *, kill: bool) -> None:
        if self._child is not None:
            self._child.close(kill=kill)
            self._child = None


def _key(job: Job) -> Key:
    """What a score depends on; long answers by hash, to bound the memory of the cache."""
    answer = job.answer if len(job.answer) <= 64 else hashlib.sha256(job.answer.encode()).digest()
    return job.specialty, job.seed, job.index, job.text_hash, answer


def extract(text: str, mode: Literal["whole", "tagged"]) -> str:
    """The answer in a completion.

    Args:
        text: A decoded completion.
        mode: `whole` takes all of it; `tagged` what stands between the last `<answer>` and `</answer>`, as
            `reasoning_gym.utils.extract_answer` does, and nothing ("") without such a pair.

    Returns:
        The answer without surrounding white space, encodable as UTF-8 (lone surrogates become `?`).
    """
    answer = text if mode == "whole" else _last_tagged(text)
    answer = answer.strip()
    return answer if answer.isascii() else answer.encode("utf-8", "replace").decode("utf-8")


def _last_tagged(text: str) -> str:
    """The last tagged part, in one pass.

    The library's lazy regular expression takes quadratic time on text with many opening tags and no closing
    one, and the text may come from a stranger.
    """
    last, position = "", 0
    while (start := text.find(OPEN, position)) >= 0:
        end = text.find(CLOSE, start + len(OPEN))
        if end < 0:
            break
        last, position = text[start + len(OPEN) : end], end + len(CLOSE)
    return last
