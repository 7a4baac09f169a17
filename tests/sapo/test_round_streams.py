"""A round is a function of its seed: the same again, whatever arrives first, and different for every node."""

from collections.abc import Sequence

import pytest
from rounds_for_tests import Laboratory, MemoryExchange, same_weights, shared

from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import StageClosed
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.pool import PeerFile, ScoredRollout
from swarm_ray.tasks.scoring import Scorer
from swarm_ray.tasks.streams import derive_seed

Run = tuple[Laboratory, list[StepMetrics]]


def two_rounds(lab: Laboratory) -> list[StepMetrics]:
    return [row for number in range(2) for row in lab.run(number)]


@pytest.fixture(scope="module")
def first(verifier: Scorer) -> Run:
    lab = Laboratory(verifier)
    return lab, two_rounds(lab)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_decides_all(first: Run, seed: int, verifier: Scorer) -> None:
    lab, rows = first
    again = Laboratory(verifier, seed=seed)
    assert (two_rounds(again) == rows) == (seed == lab.config.seed)
    assert same_weights(again.weights(), lab.weights()) == [seed == lab.config.seed] * 3
    assert (again.exchange.files == lab.exchange.files) == (seed == lab.config.seed)


def test_nodes_draw_questions_of_their_own_in_every_round(first: Run) -> None:
    files = [file for files in first[0].exchange.files.values() for file in files.values()]
    drawn = [tuple(r.question.index for r in file.rollouts) for file in files]
    assert len(drawn) == 6
    assert len(set(drawn)) == 6


def test_nodes_that_start_alike_answer_the_same_question_differently(verifier: Scorer) -> None:
    lab = Laboratory(verifier, completions=8)
    text = lab.tasks.question("coin", 1, 0).text
    seeds = [derive_seed(lab.config.seed, n.id, 0, "completions") for n in lab.nodes]
    asked = [*zip(lab.nodes, seeds, strict=True), (lab.nodes[1], seeds[0])]
    answers = [tuple(c.text for c in node.policy.generate([text], 8, seed)[0]) for node, seed in asked]
    assert len(set(answers[:3])) == 3
    assert answers[0] == answers[3]


class Reversed(MemoryExchange):
    """Hands over what others shared in the opposite order."""

    def gather(self, closed: StageClosed, without: Sequence[str]) -> list[PeerFile]:
        return super().gather(closed, without)[::-1]


def test_the_order_in_which_files_are_read_changes_nothing(verifier: Scorer) -> None:
    labs = [Laboratory(verifier, count=2, exchange=kind()) for kind in (MemoryExchange, Reversed)]
    for lab in labs:
        groups = [shared(lab.question(n), *"abcdefgh"[n:]) for n in range(5)]
        lab.exchange.foreign = [PeerFile(f"peer-{n}", (group,)) for n, group in enumerate(groups)]
    rows = [two_rounds(lab) for lab in labs]
    assert rows[0] == rows[1]
    assert same_weights(labs[0].weights(), labs[1].weights()) == [True, True]


def test_nodes_in_one_trainer_or_apart_do_the_same(first: Run, verifier: Scorer) -> None:
    """Rollouts of the same trainer do not travel; those of others do, and are scored again."""
    lab, rows = first
    apart = Laboratory(verifier, exchange=Complete())
    found = []
    for number in range(2):
        for node in apart.nodes:  # every file of the round is known before anybody gathers
            apart.exchange.publish(node, number, lab.exchange.files[number][node.id], [])
        for node in apart.nodes:
            found += apart.run(number, [node])
    assert found == rows
    assert same_weights(apart.weights(), lab.weights()) == [True, True, True]


class Complete(MemoryExchange):
    """Checks that what is published a second time is what was published before."""

    def publish(self, node: Node, number: int, file: RoundFile, own: Sequence[ScoredRollout]) -> None:
        known = self.files.get(number, {}).get(node.id)
        assert known in (None, file)
        super().publish(node, number, file, own)
