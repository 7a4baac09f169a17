"""A trainer that ends in the middle of anything, and the one that comes after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from actors_for_tests import OneProcessSwarm
from swarm_for_tests import closed_stages, small_config

from actors.trainer import Trainer
from swarm_ray.experiments import experiment_metrics
from swarm_ray.records import StepMetrics

ROUNDS = 6
NODES = ("node-0", "node-1", "node-2")
CONFIG = small_config(nodes=3, rounds=ROUNDS, pace__expect=3, checkpoint__every=2)


class Killed(BaseException):
    """Ends a trainer's thread where SIGKILL would end its process."""


def learned(rows: list[StepMetrics]) -> dict[tuple[str, int], tuple[Any, ...]]:
    """What a run did, row by row, without its times."""
    return {
        (r.node, r.step): (r.round, r.reward, r.reward_mixed, r.loss, r.grad_norm, r.entropy, r.external)
        for r in rows
    }


def weights(trainers: list[Trainer]) -> dict[str, dict[str, torch.Tensor]]:
    return {n.id: n.policy.model.state_dict() for t in trainers for n in t.nodes}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> OneProcessSwarm:
    """The run that was never killed."""
    root = tmp_path_factory.mktemp("whole") / "My Drive"
    with OneProcessSwarm(root, CONFIG, [NODES[:1], NODES[1:]], "whole") as swarm:
        swarm.results()
        assert swarm.state() == "finished"
    return swarm


def kill_at(trainer: Trainer, where: str, count: int, patch: pytest.MonkeyPatch) -> None:
    """Let the trainer's thread die at the `count`-th call of one of its parts, with nothing written after it."""
    owner: Any = trainer._exchange if hasattr(trainer._exchange, where) else trainer.nodes[0].policy
    real: Callable[..., Any] = getattr(owner, where)
    calls = 0

    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            patch.setattr(trainer._checkpointer, "flush", lambda *_, **__: [])
            patch.setattr(trainer._voice, "farewell", lambda *_, **__: None)
            raise Killed
        return real(*arguments, **named)

    patch.setattr(owner, where, dying)


@pytest.mark.parametrize(
    ("where", "count"),
    [("generate", 4), ("publish", 7), ("wait_closed", 3), ("gather", 5), ("update", 4)],
)
def test_a_run_that_was_killed_equals_one_that_never_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: OneProcessSwarm, where: str, count: int
) -> None:
    swarm = OneProcessSwarm(tmp_path / "cut" / "My Drive", CONFIG, [NODES[:1], NODES[1:]], "cut")
    kill_at(swarm.trainers[1], where, count, monkeypatch)
    with swarm:
        with pytest.raises(Killed):
            swarm.results()
        for home in swarm.trainers[1]._restored.homes.values():
            home.release()
        again = swarm.restart(1)
        assert again.rounds > 0
        assert swarm.state() == "finished"
    closed = closed_stages(swarm.root, "cut")
    assert [c.round for c in closed] == list(range(ROUNDS))
    assert all(len(c.accepted) == 3 for c in closed)
    rows = experiment_metrics(str(swarm.root), "cut")
    assert len(rows) == ROUNDS * 3
    assert learned(rows) == learned(experiment_metrics(str(whole.root), "whole"))
    one, other = weights(whole.trainers), weights(swarm.trainers)
    assert all(torch.equal(one[n][k], other[n][k]) for n in one for k in one[n])
