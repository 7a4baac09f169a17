"""Measures held-out pass@1 of a trainer's nodes, before their first round and after their last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swarm_ray.policies.pass_at_1 import pass_at_1
from swarm_ray.records.metrics import Evaluation
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.round import RoundContext, each
from swarm_ray.tasks.streams import derive_seed
from swarm_ray.tasks.task import Question

EVALUATION_STEP = 0
"""Evaluations draw from streams of their own, the same at every evaluation of a node."""


def evaluate(nodes: Sequence[Node], when: str, context: RoundContext) -> list[Evaluation]:
    """Ask the healthy ones of `nodes` the same held-out questions, and keep the means in their totals.

    Args:
        nodes: whom to ask.
        when: start or end.
        context: the swarm's configuration, tasks and verifier.
    """
    count = context.config.evaluation.questions
    held_out = context.tasks.held_out(count) if count else {}
    found = each(nodes, lambda node: _evaluate(node, when, held_out, context), context)
    for node in nodes:
        node.skipped = ""  # no round to sit out
    return list(found.values())


def _evaluate(
    node: Node, when: str, held_out: Mapping[str, Sequence[Question]], context: RoundContext
) -> Evaluation:
    config = context.config.evaluation
    seed = derive_seed(context.config.seed, node.id, EVALUATION_STEP, "evaluation")
    mean, passed = pass_at_1(node.policy, held_out, config.samples, config.threshold, context.verifier, seed)
    if when == "start":
        node.totals.pass_at_1_start = mean
    else:
        node.totals.pass_at_1_end = mean
    asked = {specialty: len(questions) for specialty, questions in held_out.items()}
    return Evaluation(node.id, when, mean, passed, asked)
