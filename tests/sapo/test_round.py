"""A whole round with real models and a real verifier: what is drawn, shared, selected, counted and learned."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import torch
from rounds_for_tests import Laboratory, MemoryExchange, same_weights, shared
from swarm_tasks_for_tests import coin

from swarm_ray.errors import NodeFailure
from swarm_ray.records.rollouts import Completion, Rollout, RoundFile
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.pool import PeerFile, ScoredRollout
from swarm_ray.sapo.round import run_round
from swarm_ray.tasks.scoring import Scorer


def test_a_round_counts_what_it_used(verifier: Scorer) -> None:
    lab = Laboratory(verifier, count=3, local=3, external=2)
    before = lab.weights()
    rows = lab.run()
    assert [row.node for row in rows] == ["node-0", "node-1", "node-2"]
    for row, node in zip(rows, lab.nodes, strict=True):
        counters = row.counters
        assert (row.round, row.step, row.local, row.trained) == (0, 0, 3, True)
        assert counters.offered == 6
        assert row.external == counters.used == sum(counters.used_from.values()) == 2
        assert node.id not in counters.used_from
        assert counters.rejected == {}
        assert (node.step, node.problem, node.previous) == (1, None, counters)
        assert node.totals.reward == row.reward
        assert (node.totals.offered, node.totals.used) == (6, 2)
        assert row.clip_share == 0.0
        assert row.loss is not None
        assert math.isfinite(row.loss)
    assert same_weights(before, lab.weights()) == [False, False, False]


def test_files_say_what_rows_say_and_carry_counters_and_votes_to_the_next_round(verifier: Scorer) -> None:
    lab = Laboratory(verifier)
    first = {row.node: row for row in lab.run()}
    for row in first.values():
        file = lab.exchange.files[0][row.node]
        rewards = [[c.reward for c in r.completions] for r in file.rollouts]
        assert file.reward == row.reward == sum(map(sum, rewards)) / 8
        assert file.informative == 2 - row.counters.zero_advantage_local
        assert file.informative == sum(len(set(group)) > 1 for group in rewards)
        assert file.generated_tokens == row.counters.generated_tokens
        assert (file.step, file.previous, file.vote) == (0, None, None)
    lab.run(1)
    for node, file in lab.exchange.files[1].items():
        others = {n: f.reward for n, f in lab.exchange.files[0].items() if n != node}
        assert (file.step, file.previous) == (1, first[node].counters)
        assert file.vote == min(others, key=lambda n: (-others[n], n))


def test_the_mixed_reward_is_over_the_training_batch(verifier: Scorer) -> None:
    lab = Laboratory(verifier, external=0)
    for row in lab.run():
        assert row.reward_mixed == row.reward
        assert (row.external, row.counters.used) == (0, 0)
    mixed = Laboratory(verifier, external=4).run()
    assert any(row.reward_mixed != row.reward for row in mixed)


def test_a_short_pool_is_counted_and_not_refilled(verifier: Scorer) -> None:
    lab = Laboratory(verifier, external=50)
    for row in lab.run():
        counters = row.counters
        assert counters.used == counters.offered - counters.zero_advantage_external
        assert counters.used == row.external < 50
        assert row.local == 2


def test_without_any_advantage_there_is_no_step(verifier: Scorer) -> None:
    lab = Laboratory(verifier, tasks__specialties=["never"])
    before = lab.weights()
    rows = lab.run()
    assert same_weights(before, lab.weights()) == [True, True, True]
    for row, node in zip(rows, lab.nodes, strict=True):
        assert (row.trained, row.loss, row.grad_norm, row.entropy) == (False, None, None, None)
        assert row.counters.zero_advantage_local == 2
        assert row.counters.zero_advantage_external == 4
        assert node.step == 1
        assert node.policy.optimizer.state_dict()["state"] == {}


def test_external_advantage_alone_is_enough_for_a_step(verifier: Scorer) -> None:
    """A node that never answers right learns from peers that sometimes do: what SAPO is for."""
    specialties = [{"name": "never", "weight": 1.0}, {"name": "coin", "weight": 1e-9}]
    lab = Laboratory(verifier, tasks__specialties=specialties)
    lab.exchange.foreign = [PeerFile("peer", (shared(lab.question(0), *"abcdefgh"),))]
    for row in lab.run():
        assert row.counters.zero_advantage_local == 2
        assert (row.external, row.trained) == (1, True)


def test_a_node_with_broken_weights_is_left_out_and_the_others_go_on(verifier: Scorer) -> None:
    lab = Laboratory(verifier)
    with torch.no_grad():
        next(iter(lab.nodes[1].policy.model.parameters())).fill_(math.nan)
    rows = lab.run(0)
    assert [row.node for row in rows] == ["node-0", "node-2"]
    assert lab.nodes[1].problem is not None
    assert "finite" in lab.nodes[1].problem
    assert lab.lost == ["node-1"]
    assert set(lab.exchange.files[0]) == {"node-0", "node-2"}
    assert [row.counters.offered for row in rows] == [2, 2]
    assert [row.node for row in lab.run(1)] == ["node-0", "node-2"]
    assert [n.step for n in lab.nodes] == [2, 1, 2]  # the step of the round in which it failed
    assert lab.lost == ["node-1"]


@pytest.mark.parametrize("size", [2, 3, 16])
def test_peers_with_another_number_of_completions_are_welcome(size: int, verifier: Scorer) -> None:
    """T5."""
    lab = Laboratory(verifier, count=1, external=1, pace__expect=2)
    ref = lab.question(3)
    texts = [str(n) for n in range(99)]
    lab.exchange.foreign = [PeerFile("peer", (shared(ref, *mixed(texts, ref.index, size)),))]
    (row,) = lab.run()
    assert row.counters.used_from == {"peer": 1}


def mixed(texts: list[str], index: int, size: int) -> list[str]:
    """`size` texts, the first of them right and the second wrong."""
    right = next(t for t in texts if coin(index, t) == 1)
    wrong = next(t for t in texts if coin(index, t) == 0)
    return [right, wrong, *[t for t in texts if t not in {right, wrong}][: size - 2]]


def test_strange_completions_of_a_peer_do_no_harm(verifier: Scorer) -> None:
    """Empty, endless, unknown characters, names of special tokens, a group with no token in it."""
    lab = Laboratory(verifier, count=1, external=9, pace__expect=2)
    texts = ["", " ", "<eos>", "<pad>" * 9, "é\u2028😀\0", "7" * 100_000, *[str(n) for n in range(9)]]
    groups = [tuple(Completion(text, 1.0, finished=ended) for text in texts) for ended in (True, False)]
    rollouts = [Rollout(lab.question(n), group) for n, group in enumerate(groups)]
    empty = lab.question(9)
    rollouts.append(Rollout(empty, tuple(Completion(t, 0.0, finished=False) for t in ("", " ", "\n"))))
    lab.exchange.foreign = [PeerFile("peer", tuple(rollouts))]
    (row,) = lab.run()
    assert row.counters.used == 2
    assert row.counters.zero_advantage_external == 1
    assert row.loss is not None
    assert math.isfinite(row.loss)
    assert all(p.isfinite().all() for p in lab.nodes[0].policy.model.parameters())


def test_what_was_not_accepted_reaches_nobody(verifier: Scorer) -> None:
    lab = Laboratory(verifier, exchange=MemoryExchange(late=("node-1",)), external=4)
    rows = lab.run()
    assert [row.counters.offered for row in rows] == [2, 4, 2]
    assert all("node-1" not in row.counters.used_from for row in rows)


def test_refused_rollouts_are_counted_for_every_receiver(verifier: Scorer) -> None:
    lab = Laboratory(verifier, count=2)
    bad = msgspec.structs.replace(lab.question(0), text_hash="0" * 16)
    torn = PeerFile("torn", refused="NotYet: half")
    lab.exchange.foreign = [PeerFile("peer", (shared(bad, "a", "b"),)), torn]
    for row, node in zip(lab.run(), lab.nodes, strict=True):
        assert row.counters.rejected == {"other text": 1, "NotYet: half": 1}
        assert row.counters.offered == 4
        assert node.totals.rejected == 2


def test_a_node_that_fails_sits_out_and_comes_back(verifier: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Laboratory(verifier, supervision__data_failures=3)
    real, failing, number = lab.nodes[1].policy.update, {0, 1, 3}, 0

    def sometimes(*given: Any) -> Any:
        if number in failing:
            raise NodeFailure("the loss (nan) is not finite")
        return real(*given)

    monkeypatch.setattr(lab.nodes[1].policy, "update", sometimes)
    came_through = []
    for number in range(5):
        came_through.append([row.node for row in lab.run(number)])
        assert [n.step for n in lab.nodes] == [number + 1] * 3
    everyone, without = ["node-0", "node-1", "node-2"], ["node-0", "node-2"]
    assert came_through == [without, without, everyone, without, everyone]
    assert (lab.nodes[1].problem, lab.nodes[1].failures) == (None, 0)
    assert lab.lost == ["node-1"] * 3


def test_a_node_that_fails_too_often_is_given_up(verifier: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Laboratory(verifier, supervision__data_failures=2)

    def diverge(*_: object) -> None:
        raise NodeFailure("the loss (nan) is not finite")

    monkeypatch.setattr(lab.nodes[1].policy, "update", diverge)
    assert [row.node for row in lab.run(0)] == ["node-0", "node-2"]
    assert set(lab.exchange.files[0]) == {"node-0", "node-1", "node-2"}
    assert (lab.nodes[1].problem, lab.nodes[1].step) == (None, 1)
    lab.run(1)
    assert lab.nodes[1].problem == "the loss (nan) is not finite"


def test_what_was_made_before_is_not_made_again(verifier: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Laboratory(verifier), Laboratory(verifier)
    made: dict[tuple[str, int], list[ScoredRollout]] = {}
    publish = first.exchange.publish

    def keep(node: Node, number: int, file: RoundFile, own: Sequence[ScoredRollout]) -> None:
        made[node.id, number] = list(own)
        publish(node, number, file, own)

    monkeypatch.setattr(first.exchange, "publish", keep)
    expected = first.run(0)
    second.exchange.made = made
    for node in second.nodes:
        monkeypatch.setattr(node.policy, "generate", None)
    assert second.run(0) == expected
    assert same_weights(first.weights(), second.weights()) == [True] * 3


def test_alone_a_node_learns_from_its_own_trainer_and_says_so(verifier: Scorer) -> None:
    lab = Laboratory(verifier)
    rows = run_round(lab.nodes, 7, lab.context, alone=True)
    assert [(row.alone, row.round) for row in rows] == [(True, 7)] * 3
    assert all(file.alone for file in lab.exchange.files[7].values())
    assert {peer for row in rows for peer in row.counters.used_from} <= {n.id for n in lab.nodes}
