"""Held-out pass@1: the share of completions of questions never trained on that the verifier calls right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from swarm_ray.tasks.scoring import ScoreItem, Verifier
from swarm_ray.tasks.task import Question


class Answer(Protocol):
    """A completion, as far as it is measured."""

    @property
    def text(self) -> str:
        """What is scored."""
        ...


class Respondent(Protocol):
    """Who is measured; `swarm_ray.policies.policy.Policy` is one."""

    def generate(self, questions: Sequence[str], copies: int, seed: int, /) -> Sequence[Sequence[Answer]]:
        """`copies` answers to each question."""
        ...


def pass_at_1(
    respondent: Respondent,
    questions: Mapping[str, Sequence[Question]],
    samples: int,
    threshold: float,
    verifier: Verifier,
    seed: int,
) -> dict[str, float]:
    """Per specialty the mean over `questions` and `samples` of reward >= `threshold`; {} without questions.

    A policy samples as it does in training, at its own temperature.
    """
    asked = [q for group in questions.values() for q in group]
    if not asked:
        return {}
    answers = respondent.generate([q.text for q in asked], samples, seed)
    pairs = [(q, answer.text) for q, group in zip(asked, answers, strict=True) for answer in group]
    scores = verifier.score([ScoreItem(question.ref, text) for question, text in pairs])
    passed: dict[str, list[bool]] = {}
    for (question, _), score in zip(pairs, scores, strict=True):
        passed.setdefault(question.specialty, []).append(score.reward >= threshold)
    return {specialty: sum(found) / len(found) for specialty, found in passed.items()}


def overall(by_specialty: Mapping[str, float], questions: Mapping[str, Sequence[Question]]) -> float | None:
    """Mean over all questions, each counting alike; None without questions."""
    total = sum(len(questions[s]) for s in by_specialty)
    if not total:
        return None
    return sum(share * len(questions[s]) for s, share in by_specialty.items()) / total
