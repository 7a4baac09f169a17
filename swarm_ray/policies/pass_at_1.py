"""Held-out pass@1: the share of completions of questions never trained on that the verifier calls right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swarm_ray.policies.policy import Policy
from swarm_ray.tasks.scoring import Verifier
from swarm_ray.tasks.scoring_client import ScoreItem
from swarm_ray.tasks.task import Question


def pass_at_1(
    policy: Policy,
    questions: Mapping[str, Sequence[Question]],
    samples: int,
    threshold: float,
    verifier: Verifier,
    seed: int,
) -> tuple[float | None, dict[str, float]]:
    """The share of `samples` completions of each question with a reward >= `threshold`.

    A policy samples as it does in training, at its own temperature.

    Returns:
        Over all questions, each counting alike, and per specialty; (None, {}) without questions.
    """
    asked = [q for group in questions.values() for q in group]
    if not asked:
        return None, {}
    answers = policy.generate([q.text for q in asked], samples, seed)
    pairs = [(q, answer.text) for q, group in zip(asked, answers, strict=True) for answer in group]
    scores = verifier.score([ScoreItem(question.ref, text) for question, text in pairs])
    passed: dict[str, list[bool]] = {}
    for (question, _), score in zip(pairs, scores, strict=True):
        passed.setdefault(question.specialty, []).append(score.reward >= threshold)
    by_specialty = {specialty: sum(found) / len(found) for specialty, found in passed.items()}
    return sum(map(sum, passed.values())) / len(pairs), by_specialty
