"""A step that an earlier process made is adopted for the round that it was made for, and for no other."""

from pathlib import Path

import msgspec
import pytest

from actors.trainer.checkpoints import _is_gone
from drive_store import ExperimentPaths, ExperimentStore, Store
from swarm_ray.config.schema import PaceConfig
from swarm_ray.exchange.replay import PublishedStep
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.records.nodes import NodeTotals
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import NodeTally, StageOpen, StateRecord
from swarm_ray.sapo.node import Node

MADE = PublishedStep(round=7, step=7, file=RoundFile(7, (), 0.0, 0, 0), attachment=b"")
RECORD = StateRecord("running", 20, None, None, {})


def node(name: str) -> Node:
    """Without a policy, which nobody asks for here."""
    return Node(name, "0123abcd", None)  # type: ignore[arg-type]


@pytest.fixture
def state(tmp_path: Path) -> StateFollower:
    return StateFollower(
        ExperimentStore(Store(str(tmp_path)), ExperimentPaths("tea")), PaceConfig(), Cancellation()
    )


def opened(number: int) -> StageOpen:
    return StageOpen(number, 0, (), 0.0, 60.0)


def test_a_step_that_was_never_made_is_gone_and_another_may_count(state: StateFollower) -> None:
    assert _is_gone(None, node("n1"), state)
    assert not _is_gone(MADE, node("n1"), state)
    state.latest = msgspec.structs.replace(RECORD, state="paused")
    assert not _is_gone(MADE, node("n1"), state)


@pytest.mark.parametrize(("number", "gone"), [(6, False), (7, False), (8, True)])
def test_a_step_is_gone_when_a_later_round_is_open(state: StateFollower, number: int, gone: bool) -> None:
    state.latest = msgspec.structs.replace(RECORD, opens=opened(number))
    assert _is_gone(MADE, node("n1"), state) is gone


@pytest.mark.parametrize(("counted", "gone"), [(6, False), (7, True), (9, True)])
def test_a_step_is_gone_when_its_round_was_counted(state: StateFollower, counted: int, gone: bool) -> None:
    tallies = {"n1": NodeTally(counted, counted, 0.0, NodeTotals()), "n2": NodeTally(9, 9, 0.0, NodeTotals())}
    state.latest = msgspec.structs.replace(RECORD, tallies=tallies)
    assert _is_gone(MADE, node("n1"), state) is gone
