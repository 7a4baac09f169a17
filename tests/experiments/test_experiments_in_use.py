"""Who is at work on an experiment that has ended: nobody, as soon as all have said their last word."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from experiments_for_tests import CLAIMANT, CREATED_AT, FakeExperiment, finished

from drive_store import Store, write_coordinator_beat
from swarm_ray.config.load import load_config
from swarm_ray.errors import SwarmStateError, UserError
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.experiments.manage.clean import cleanup_experiment
from swarm_ray.experiments.manage.in_use import hold_for_run, refuse_in_use
from swarm_ray.experiments.open import init_experiment
from swarm_ray.experiments.read.experiment import ExperimentFolder, open_experiment
from swarm_ray.records.nodes import Beat, CoordinatorBeat, NodeTotals, Registration
from swarm_ray.records.state import FileRef, StageClosed

NEW = "0000beef"


@pytest.fixture
def done(tmp_path: Path) -> FakeExperiment:
    """One that has finished just now, whose nodes have said that they are done."""
    return finished(tmp_path, "done", load_config(overrides=["nodes=2", "rounds=2"]))


def beat(phase: str, *, done: bool = False, problem: str | None = None) -> Beat:
    return Beat(10, 1, 2, phase, NodeTotals(), problem, done)


def coordinator_beat(experiment: FakeExperiment, claimant: str, beat: CoordinatorBeat) -> None:
    write_coordinator_beat(experiment.opened, claimant, beat.count, msgspec.json.encode(beat))


def clean(experiment: FakeExperiment) -> None:
    """Ask what could go; refused while somebody is at work."""
    cleanup_experiment(str(experiment.root), experiment.name)


def test_a_run_of_this_machine_is_seen_before_it_gives_a_sign(done: FakeExperiment) -> None:
    """Ray and the models take a while to start; several workers of one machine may run it."""
    address = ExperimentAddress(str(done.root), done.name)
    with hold_for_run(address), hold_for_run(address):
        with pytest.raises(UserError, match="a process of this machine runs done, so it cannot be cleaned"):
            clean(done)
        with pytest.raises(UserError, match="so it cannot be overwritten"):
            init_experiment(str(done.root), done.name, overwrite=True)
    clean(done)


def test_one_that_ended_properly_is_at_rest_at_once(done: FakeExperiment) -> None:
    clean(done)
    for last in (beat("ended"), beat("failed", problem="loss is not finite"), beat("training", done=True)):
        done.beat("node-1", last)
        clean(done)
    coordinator_beat(done, CLAIMANT, CoordinatorBeat(7, 1, 1))
    clean(done)


@pytest.mark.parametrize("state", ["finished", "stopped"])
def test_a_node_that_has_not_said_its_last_word_is_at_work(done: FakeExperiment, state: str) -> None:
    done.append(state)
    done.beat("node-1", beat("training"))
    at_work = rf"done is {state}, but node-1 gave a heartbeat 0 s ago .*until it has been silent"
    with pytest.raises(UserError, match=at_work):
        clean(done)
    with pytest.raises(UserError, match="so it cannot be overwritten"):
        init_experiment(str(done.root), "done", overwrite=True)
    done.age(3600)
    clean(done)


def test_a_new_process_is_at_work_and_the_one_that_it_continues_is_not(done: FakeExperiment) -> None:
    done.beat("node-1", beat("training"))
    registration = Registration("node-1", NEW, "worker", "", {}, CREATED_AT, succeeds="00000001")
    done.registry.register("node-1", NEW, msgspec.json.encode(registration))
    begun = Beat(0, -1, 0, "registered", NodeTotals())
    done.registry.write_beat("node-1", NEW, 0, msgspec.json.encode(begun))
    with pytest.raises(UserError, match="node-1 gave a heartbeat"):
        clean(done)
    done.registry.write_beat("node-1", NEW, 1, msgspec.json.encode(beat("ended", done=True)))
    clean(done)


def test_a_coordinator_that_begins_anew_is_at_work(done: FakeExperiment) -> None:
    coordinator_beat(done, "coordinator.0000cafe", CoordinatorBeat(0, 2, 1))
    with pytest.raises(UserError, match="done is finished, but its coordinator gave a heartbeat"):
        clean(done)


SIGNS: list[Callable[[FakeExperiment], object]] = [
    lambda experiment: experiment.beat("node-1", beat("training")),
    # Half written.
    lambda e: (e.root / e.paths.coordinator_beat(CLAIMANT)).write_bytes(b"{"),
    lambda experiment: experiment.close(0, {"node-0": 0.5}),
]


@pytest.mark.parametrize("sign", SIGNS, ids=["a node", "a coordinator", "a round"])
def test_a_torn_identity_may_be_at_work(tmp_path: Path, sign: Callable[[FakeExperiment], object]) -> None:
    running = FakeExperiment(tmp_path, "mine", load_config(overrides=["nodes=2", "rounds=4"]))
    running.append("running")
    identity = tmp_path / running.paths.experiment_json
    identity.write_bytes(identity.read_bytes()[:200])
    running.age(3600)
    sign(running)
    before = sorted(tmp_path.rglob("*"))
    at_work = r"mine is running, and .* gave a heartbeat 0 s ago, so it cannot be overwritten"
    with pytest.raises(UserError, match=at_work):
        init_experiment(str(tmp_path), "mine", overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before
    running.age(3600)
    init_experiment(str(tmp_path), "mine", overwrite=True)
    assert open_experiment(str(tmp_path), "mine").newest() is None


def test_one_without_its_configuration_can_be_removed_when_nobody_is_at_work(tmp_path: Path) -> None:
    bare = FakeExperiment(tmp_path, "mine", load_config())
    next((tmp_path / bare.paths.folder).glob("config-*.yaml")).unlink()
    bare.register("node-1")
    bare.beat("node-1", beat("training"))
    for attempt in (
        lambda: init_experiment(str(tmp_path), "mine", overwrite=True),
        lambda: cleanup_experiment(str(tmp_path), "mine", whole=True),
    ):
        at_work = r"mine is waiting, and node-1 gave a heartbeat 0 s ago.* silent for 600 s"
        with pytest.raises(UserError, match=at_work):
            attempt()
    bare.age(3600)
    init_experiment(str(tmp_path), "mine", overwrite=True)
    next((tmp_path / bare.paths.folder).glob("config-*.yaml")).unlink()
    cleanup_experiment(str(tmp_path), "mine", dry_run=False, whole=True)
    assert not (tmp_path / bare.paths.folder).exists()


def test_one_of_another_version_can_be_removed_when_nobody_is_at_work(done: FakeExperiment) -> None:
    done.log.append(b'{"state": 7}', round=9, stage=0)
    with pytest.raises(UserError, match="done is unreadable, and its coordinator gave a heartbeat"):
        cleanup_experiment(str(done.root), "done", whole=True)
    done.age(3600)
    with pytest.raises(SwarmStateError):
        clean(done)
    cleanup_experiment(str(done.root), "done", dry_run=False, whole=True)
    assert not (done.root / done.paths.folder).exists()


def test_a_record_that_names_files_elsewhere_is_no_obstacle(tmp_path: Path) -> None:
    odd = FakeExperiment(tmp_path, "mine", load_config(overrides=["nodes=2", "rounds=4"]))
    odd.register("node-0")
    ref = FileRef("node-0", "00000000", "../../../etc/hostname", "ab" * 32, 9)
    closed = msgspec.structs.replace(StageClosed.empty(0, 0), accepted=(ref,), seconds=1.0)
    odd.append("running", closed=closed)
    odd.age(3600)
    clean(odd)


def test_it_looks_at_each_thing_once(tmp_path: Path) -> None:
    idle = FakeExperiment(tmp_path, "mine", load_config(overrides=["nodes=2", "rounds=4"]))
    idle.register("node-0", "node-1")
    idle.beat("node-1", beat("training"))
    coordinator_beat(idle, CLAIMANT, CoordinatorBeat(7, 1, 1))
    idle.append("running")
    idle.age(3600)
    store = Store(str(tmp_path))
    refuse_in_use(ExperimentFolder(idle.address, store), "moved")
    asked = store.operations
    # A record, the identity, the configuration; state twice, its bucket, peers.
    assert (asked.reads, asked.lists) == (3, 4)
