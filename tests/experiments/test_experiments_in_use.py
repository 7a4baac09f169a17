"""Who is at work on an experiment that has ended: nobody, as soon as all have said their last word."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from experiments_for_tests import CLAIMANT, CREATED_AT, FakeExperiment, finished

from drive_store import write_coordinator_beat
from swarm_ray.errors import UserError
from swarm_ray.experiments.cleaning import cleanup_experiment
from swarm_ray.experiments.creating import init_experiment
from swarm_ray.records import Beat, CoordinatorBeat, NodeTotals, Registration
from swarm_ray.settings import config_hash, load_config

NEW = "0000beef"


@pytest.fixture
def done(tmp_path: Path) -> FakeExperiment:
    """One that has finished just now, whose nodes have said that they are done."""
    return finished(tmp_path, "done", load_config(overrides=["nodes=2", "rounds=2"]))


def beat(phase: str, *, done: bool = False, problem: str | None = None) -> Beat:
    """A sign of life."""
    return Beat(10, 1, 2, phase, NodeTotals(), problem, done)


def clean(experiment: FakeExperiment) -> None:
    """Ask what could go; refused while somebody is at work."""
    cleanup_experiment(str(experiment.root), experiment.name)


def begin_anew(experiment: FakeExperiment, *, succeeds: str) -> None:
    """A new process goes on with node-1, and gives its first beat."""
    registration = Registration(
        "node-1", NEW, "worker", config_hash(experiment.config), {}, CREATED_AT, succeeds=succeeds
    )
    experiment.registry.register("node-1", NEW, msgspec.json.encode(registration))
    experiment.registry.write_beat(
        "node-1", NEW, 0, msgspec.json.encode(Beat(0, -1, 0, "registered", NodeTotals()))
    )


def test_one_that_ended_properly_is_at_rest_at_once(done: FakeExperiment) -> None:
    clean(done)
    for last in (beat("ended"), beat("failed", problem="loss is not finite"), beat("training", done=True)):
        done.beat("node-1", last)
        clean(done)
    told = CoordinatorBeat(7, 1, 1)
    write_coordinator_beat(done.store, done.paths, CLAIMANT, 7, msgspec.json.encode(told))
    clean(done)


@pytest.mark.parametrize("state", ["finished", "stopped"])
def test_a_node_that_has_not_said_its_last_word_is_at_work(done: FakeExperiment, state: str) -> None:
    done.append(state)
    done.beat("node-1", beat("training"))
    with pytest.raises(
        UserError, match=rf"done is {state}, but node-1 gave a sign 0 s ago .*until it has been silent"
    ):
        clean(done)
    with pytest.raises(UserError, match="so it cannot be overwritten"):
        init_experiment(str(done.root), "done", overwrite=True)
    done.age(3600)
    clean(done)


def test_a_new_process_is_at_work_and_the_one_that_it_continues_is_not(done: FakeExperiment) -> None:
    done.beat("node-1", beat("training"))
    begin_anew(done, succeeds="00000001")
    with pytest.raises(UserError, match="node-1 gave a sign"):
        clean(done)
    done.registry.write_beat("node-1", NEW, 1, msgspec.json.encode(beat("ended", done=True)))
    clean(done)


def test_a_coordinator_that_begins_anew_is_at_work(done: FakeExperiment) -> None:
    told = CoordinatorBeat(0, 2, 1)
    write_coordinator_beat(done.store, done.paths, "coordinator.0000cafe", 0, msgspec.json.encode(told))
    with pytest.raises(UserError, match="done is finished, but its coordinator gave a sign"):
        clean(done)
