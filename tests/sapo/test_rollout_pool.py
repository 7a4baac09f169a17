"""The pool of a round: nothing a peer says is believed, and what is refused is counted by sender and reason."""

import msgspec
import pytest
from rounds_for_tests import shared
from swarm_tasks_for_tests import coin

from swarm_ray.config.schema import TasksConfig
from swarm_ray.records.rollouts import Completion, QuestionRef, Rollout
from swarm_ray.sapo.pool import PeerFile, Pool, ScoredRollout, build_pool
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Scorer
from swarm_ray.tasks.task import Question


@pytest.fixture(scope="module")
def tasks(tasks_config: TasksConfig) -> TaskSet:
    return TaskSet(tasks_config)


@pytest.fixture(scope="module")
def ref(tasks: TaskSet) -> QuestionRef:
    """A question of the training pool."""
    return training_question(tasks, "coin").ref


@pytest.fixture(scope="module")
def held_out(tasks: TaskSet) -> QuestionRef:
    return tasks.held_out(1)["coin"][0].ref


def training_question(tasks: TaskSet, specialty: str) -> Question:
    found = (tasks.question(specialty, 1, i) for i in range(99))
    return next(q for q in found if not tasks.is_held_out(q.text))


def own(tasks: TaskSet, node: str, *rewards: float) -> list[ScoredRollout]:
    completions = tuple(Completion(str(r), r, finished=True) for r in rewards)
    return [ScoredRollout(node, 0, tasks.question("coin", 1, 0), completions)]


def test_rewards_are_those_of_the_own_verifier(tasks: TaskSet, ref: QuestionRef, verifier: Scorer) -> None:
    file = PeerFile("node-9", (shared(ref, "a", "b", "c", reward=0.123),))
    pool = build_pool([file], {}, tasks, verifier)
    assert [r.rewards for r in pool.rollouts] == [[coin(ref.index, text) for text in "abc"]]
    assert (pool.rollouts[0].node, pool.rollouts[0].number) == ("node-9", 0)
    assert pool.rollouts[0].question == tasks.question("coin", 1, ref.index)


def test_questions_that_are_not_of_the_training_pool_are_refused(
    tasks: TaskSet, ref: QuestionRef, held_out: QuestionRef, verifier: Scorer
) -> None:
    changes = ({"seed": 2}, {"index": 2**63}, {"text_hash": ""})
    bad = [msgspec.structs.replace(ref, **change) for change in changes]
    file = PeerFile("node-9", tuple(shared(one, "a") for one in (*bad, held_out, ref)))
    pool = build_pool([file], {}, tasks, verifier)
    reasons = ("other seed", "index outside the pool", "other text", "held out")
    assert pool.refused["node-9"] == dict.fromkeys(reasons, 1)
    assert [r.number for r in pool.rollouts] == [4]


def test_a_verifier_that_evaluates_text_gets_none_of_a_peer(tasks: TaskSet, verifier: Scorer) -> None:
    question = training_question(tasks, "countdown")
    pool = build_pool([PeerFile("node-9", (shared(question.ref, "1 + 1"),))], {}, tasks, verifier)
    assert pool.rollouts == []
    [(reason, count)] = pool.refused["node-9"].items()
    assert ("evaluates text" in reason, count) == (True, 1)


def test_every_receiver_counts_what_others_sent(tasks: TaskSet, ref: QuestionRef, verifier: Scorer) -> None:
    other_seed = msgspec.structs.replace(ref, seed=5)
    sent = PeerFile("node-8", (shared(other_seed, "a"), shared(ref, "a", "b")))
    torn = PeerFile("node-9", refused="Corrupt: not an envelope")
    pool = build_pool([sent, torn], {"node-0": own(tasks, "node-0", 0.0, 1.0)}, tasks, verifier)
    assert pool.refused_for("node-0") == {"other seed": 1, "Corrupt: not an envelope": 1}
    assert pool.refused_for("node-8") == {"Corrupt: not an envelope": 1}
    assert [pool.offered_to(node) for node in ("node-0", "node-8", "node-1")] == [3, 2, 4]


def test_own_rollouts_are_not_scored_again(tasks: TaskSet, verifier: Scorer) -> None:
    mine = own(tasks, "node-0", 0.25, 0.75)
    assert build_pool([], {"node-0": mine}, tasks, verifier).rollouts == mine


def test_the_best_peer_is_another_node_and_the_smaller_id_among_equals(tasks: TaskSet) -> None:
    rewards = {"node-0": (1.0, 1.0), "node-2": (0.5, 0.7), "node-1": (0.6, 0.6), "node-3": (0.0, 1.0)}
    pool = Pool([rollout for node, some in rewards.items() for rollout in own(tasks, node, *some)])
    assert pool.best_peer("node-1") == "node-0"
    assert pool.best_peer("node-0") == "node-1"
    assert Pool(own(tasks, "node-0", 1.0)).best_peer("node-0") is None


def test_strange_text_is_scored_like_any_other(tasks: TaskSet, ref: QuestionRef, verifier: Scorer) -> None:
    texts = ("", " ", "\0", "é\u2028😀", "<eos>", "9" * 99_999, "7" * 100_000)
    pool = build_pool([PeerFile("node-9", (shared(ref, *texts),))], {}, tasks, verifier)
    (found,) = pool.rollouts
    assert found.rewards == [coin(ref.index, text.strip()) for text in texts]
    assert isinstance(msgspec.msgpack.encode(Rollout(ref, found.completions)), bytes)
