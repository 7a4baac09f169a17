"""Held-out pass@1: the share of right completions per specialty, and the mean over all questions."""

import pytest
from rounds_for_tests import Laboratory
from swarm_tasks_for_tests import coin

from swarm_ray.policies.pass_at_1 import pass_at_1
from swarm_ray.tasks.scoring import Scorer


def test_pass_at_1_is_the_share_of_right_completions(verifier: Scorer) -> None:
    lab = Laboratory(verifier, count=1, external=0, tasks__specialties=["coin", "never"])
    held_out = lab.tasks.held_out(5)
    mean, found = pass_at_1(lab.nodes[0].policy, held_out, 8, 0.99, verifier, seed=3)
    asked = [q for group in held_out.values() for q in group]
    generated = lab.nodes[0].policy.generate([q.text for q in asked], 8, 3)
    right = [
        coin(q.index, c.text)
        for q, group in zip(asked, generated, strict=True)
        for c in group
        if q.specialty == "coin"
    ]
    assert len(right) == 40
    assert found == {"coin": sum(right) / 40, "never": 0.0}
    assert mean == pytest.approx(sum(right) / 80)
    uneven = {"coin": held_out["coin"], "never": held_out["never"][:1]}
    mean, found = pass_at_1(lab.nodes[0].policy, uneven, 8, 0.99, verifier, seed=3)
    assert mean == pytest.approx(found["coin"] * 5 / 6) != 0  # every question counts alike


def test_without_questions_there_is_no_figure(verifier: Scorer) -> None:
    lab = Laboratory(verifier, count=1, external=0)
    assert pass_at_1(lab.nodes[0].policy, {}, 2, 0.99, verifier, seed=0) == (None, {})
