"""Held-out pass@1: the share of completions of questions never trained on that the verifier calls right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swarm_ray.policies.policy import Policy
from swarm_ray.sapo.pool import Verifier
from swarm_ray.tasks.protocol import Question
from swarm_ray.tasks.scoring import ScoreItem


def pass_at_1(
    policy: Policy,
    questions: Mapping[str, Sequence[Question]],
    samples: int,
    threshold: float,
    verifier: Verifier,
    seed: int,
) -> dict[str, float]:
    """Per specialty the mean over `questions` and `samples` of reward >= `threshold`; {} without questions.

    The policy samples as it does in training, at its own temperature.
    """
    asked = [q for group in questions.values() for q in group]
    if not asked:
        return {}
    generated = policy.generate([q.text for q in asked], samples, seed)
    items = [ScoreItem(q, c.text) for q, group in zip(asked, generated, strict=True) for c in group]
    passed: dict[str, list[bool]] = {}
    for item, score in zip(items, verifier.score(items), strict=True):
        assert isinstance(item.question, Question)
        passed.setdefault(item.question.specialty, []).append(score.reward >= threshold)
    return {specialty: sum(found) / len(found) for specialty, found in passed.items()}


def overall(by_specialty: Mapping[str, float], questions: Mapping[str, Sequence[Question]]) -> float | None:
    """Mean over all questions, each counting alike; None without questions."""
    total = sum(len(questions[s]) for s in by_specialty)
    if not total:
        return None
    return sum(share * len(questions[s]) for s, share in by_specialty.items()) / total
