"""Measures held-out pass@1 of a trainer's nodes, before their first round and after their last."""

from __future__ import annotations

from collections.abc import Sequence

from swarm_ray.records.metrics import Evaluation
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.round import RoundContext, each
from swarm_ray.tasks.pass_at_1 import overall, pass_at_1
from swarm_ray.tasks.streams import derive_seed

EVALUATION_STEP = 0
"""Evaluations draw from streams of their own, the same at every evaluation of a node."""


class Evaluator:
    """Asks every node the same held-out questions.

    Args:
        context: the swarm's configuration, tasks and verifier.
    """

    def __init__(self, context: RoundContext) -> None:
        self._context = context
        count = context.config.evaluation.questions
        self._held_out = context.tasks.held_out(count) if count else {}

    def evaluate(self, nodes: Sequence[Node], when: str) -> list[Evaluation]:
        """Measure the healthy ones of `nodes`, and keep the means in their totals.

        Args:
            nodes: whom to ask.
            when: start or end.
        """
        found = each(nodes, lambda node: self._evaluate(node, when), self._context)
        for node in nodes:
            node.skipped = ""  # no round to sit out
        return list(found.values())

    def _evaluate(self, node: Node, when: str) -> Evaluation:
        config, held_out = self._context.config, self._held_out
        seed = derive_seed(config.seed, node.id, EVALUATION_STEP, "evaluation")
        samples, threshold = config.evaluation.samples, config.evaluation.threshold
        passed = pass_at_1(node.policy, held_out, samples, threshold, self._context.verifier, seed)
        mean = overall(passed, held_out)
        if when == "start":
            node.totals.pass_at_1_start = mean
        else:
            node.totals.pass_at_1_end = mean
        asked = {specialty: len(questions) for specialty, questions in held_out.items()}
        return Evaluation(node.id, when, mean, passed, asked)
