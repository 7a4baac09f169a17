"""Watching from the folder alone: what a look costs, what it says, and what happens while the folder is away."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from experiments_for_tests import CLAIMANT, FakeExperiment, incarnation_of
from live_for_tests import NODES, config, coordinate, play_round, underway
from spool_for_tests import Clock

from drive_store import StateLogWriter
from swarm_ray.errors import SwarmStateError
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.observe.folder import SnapshotReader
from swarm_ray.observe.watch import Watcher
from swarm_ray.records.nodes import Beat, NodeTotals
from swarm_ray.records.state import Member, StateRecord


def watched(root: Path, clock: Clock | None = None) -> SnapshotReader:
    return SnapshotReader(open_experiment(str(root), "grown"), clock or Clock())


def cost(folder: SnapshotReader) -> tuple[int, int, int]:
    """Reads, listings and questions of one look."""
    counted = folder._opened.store.operations
    before = replace(counted)
    folder.look()
    return (counted.reads - before.reads, counted.lists - before.lists, counted.sizes - before.sizes)


def test_what_a_swarm_that_runs_looks_like(tmp_path: Path) -> None:
    underway(tmp_path, 25)
    seen = watched(tmp_path).look()
    assert (seen.experiment, seen.state, seen.label) == ("grown", "running", "4 local / 4 external")
    assert (seen.rounds, seen.closed, seen.round_s) == (40, 25, 2.0)
    assert 28.0 <= (seen.left_s or 0.0) <= 30.0
    assert seen.reward == pytest.approx(sum(range(15, 25)) / 1000)
    assert seen.cumulative == pytest.approx(3 * sum(range(25)) / 100)
    assert len(seen.rewards) == 25
    assert seen.rewards[-1] == pytest.approx(0.24)
    assert seen.coordinator.startswith(f"{CLAIMANT}, epoch 1, last heard of ")
    assert seen.alarms == seen.notes == ()
    assert [line.node for line in seen.nodes] == NODES
    for line in seen.nodes:
        assert (line.round, line.step, line.reward) == (24, 25, 0.24)
        assert (line.step_s, line.tokens_per_s) == (2.0, 50.0)
        assert line.external == pytest.approx(100 / (100 + 24 * 4))
        assert (line.problems, line.by_clocks) == ((), True)


def test_a_look_costs_the_same_after_60_and_600_rounds_and_a_read_per_node(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    few, many = underway(small, 60, of=3000), underway(large, 600, of=3000)
    folders = [watched(small), watched(large)]
    first = [cost(folder) for folder in folders]
    assert first[0][0] == first[1][0], "as many records are read"
    assert first[1][1] <= first[0][1] + 2, "the older records lie in two folders more"
    again = {cost(folder) for folder in folders}
    assert len(again) == 1
    reads, lists, sizes = again.pop()
    assert reads == 3 + len(NODES), "the sentinel, the newest record, the coordinator's beat, the nodes'"
    assert (lists <= 5, sizes) == (True, 0)
    play_round(few, 60, NODES)
    play_round(many, 600, NODES)
    news = [cost(folder) for folder in folders]
    assert news[0] == news[1]
    assert news[0][0] == reads + 1


def test_much_that_happened_between_two_looks_is_not_read_whole(tmp_path: Path) -> None:
    experiment = underway(tmp_path, 5, of=400)
    folder = watched(tmp_path)
    folder.look()
    for number in range(5, 65):
        play_round(experiment, number, NODES)
    assert cost(folder)[0] <= 30
    seen = folder.look()
    assert (seen.closed, seen.round_s) == (65, 2.0)


def test_who_was_last_seen_when(tmp_path: Path) -> None:
    experiment, clock = underway(tmp_path, 5), Clock()
    experiment.age(30.0)
    folder = watched(tmp_path, clock)
    first = folder.look()
    assert all(line.by_clocks and 30.0 <= (line.seen_s or 0) < 40.0 for line in first.nodes)
    assert first.nodes[0].problems[0].startswith("silent for 3")
    assert first.alarms[0].startswith("no heartbeat of a coordinator for 3")
    clock.now += 5.0
    play_round(experiment, 5, NODES[:2])
    folder.look()
    clock.now += 3.0
    lines = folder.look().nodes
    assert [(line.seen_s, line.by_clocks) for line in lines[:2]] == [(3.0, False)] * 2
    assert lines[0].problems == ()
    assert lines[2].by_clocks
    assert lines[2].problems[0].startswith("silent for 3")
    assert lines[2].problems[1:] == ("1 round behind",)
    clock.now += 18.0
    assert [line.problems[0] for line in folder.look().nodes[:2]] == ["silent for 21 s"] * 2


def test_a_coordinator_that_only_beats_is_heard_of(tmp_path: Path) -> None:
    experiment, clock = underway(tmp_path, 5), Clock()
    folder = watched(tmp_path, clock)
    folder.look()
    for count in range(1, 4):
        clock.now += 15.0
        coordinate(experiment, count)
        seen = folder.look()
        assert seen.alarms == ()
        assert seen.coordinator == f"{CLAIMANT}, epoch 1, last heard of just now"
    clock.now += 15.0
    assert folder.look().coordinator == f"{CLAIMANT}, epoch 1, last heard of 15 s ago"
    clock.now += 15.0
    for node in NODES[:2]:
        experiment.beat(node, Beat(99, 4, 8, "generate", NodeTotals(), alone=True))
    seen = folder.look()
    (alarm,) = seen.alarms
    assert alarm.endswith(" for 30 s: 2 of 3 nodes train alone until a coordinator comes back")
    assert seen.nodes[0].problems == ("trains alone: no heartbeat from a coordinator",)
    assert seen.left_s is None, "the open round is held up"


def test_a_successor_is_followed(tmp_path: Path) -> None:
    experiment = underway(tmp_path, 5)
    folder = watched(tmp_path)
    folder.look()
    last, successor = experiment.log.last, "coordinator.0f0f0f0f"
    experiment.log = StateLogWriter(experiment.opened, 2, successor, resume_after=last)
    for number in range(5, 9):
        play_round(experiment, number, NODES)
    coordinate(experiment, 0, successor)
    for seen in (folder.look(), watched(tmp_path).look()):
        assert seen.coordinator.startswith("coordinator.0f0f0f0f, epoch 2, ")
        assert (seen.closed, seen.round_s) == (9, 2.0)
        assert seen.nodes[0].mean_reward == pytest.approx(0.04)


def test_a_node_that_came_back_is_its_newest_incarnation(tmp_path: Path) -> None:
    experiment = underway(tmp_path, 5)
    folder = watched(tmp_path)
    folder.look()
    life = "0000beef"
    told = Beat(3, 9, 10, "generate", NodeTotals(), recovered="from step 4")
    experiment.registry.write_beat("node-1", life, 3, msgspec.json.encode(told))
    opens = experiment.opens(5, NODES)
    lives = (life if m.node == "node-1" else m.incarnation for m in opens.members)
    members = tuple(Member(node, incarnation) for node, incarnation in zip(NODES, lives, strict=True))
    experiment.append("running", opens=msgspec.structs.replace(opens, members=members), number=5)
    line = folder.look().nodes[1]
    assert (line.round, line.step, line.notes) == (9, 10, ("from step 4",))
    assert incarnation_of("node-1") != life


def test_states_without_an_end_in_sight(tmp_path: Path) -> None:
    experiment = underway(tmp_path, 5)
    folder = watched(tmp_path)
    experiment.append("paused")
    seen = folder.look()
    assert (seen.state, seen.left_s, seen.closed) == ("paused", None, 5)
    assert seen.notes == ("no further round opens until somebody asks it to resume",)
    experiment.append("draining", note="no final heartbeat from node-2")
    seen = folder.look()
    assert (seen.state, seen.notes) == ("draining", ("no final heartbeat from node-2",))
    assert not seen.ended
    experiment.finish(state="failed", note="node-2 broke", learned_nothing=True)
    seen = folder.look()
    assert (seen.state, seen.left_s, seen.ended) == ("failed", None, True)
    assert seen.notes == ("node-2 broke",)
    assert seen.alarms[0].startswith("LEARNED NOTHING")
    assert seen.result == "cumulative reward 0.30, pass@1 0.100 -> 0.500, 1500 tokens"


def test_before_the_first_record_a_registration_is_read_once(tmp_path: Path) -> None:
    costs = []
    for count in (3, 20):
        root = tmp_path / str(count)
        experiment = FakeExperiment(root, "grown", config())
        nodes = [*(f"node-{i}" for i in range(count)), "node-99"]
        experiment.register(*nodes[:-1])
        experiment.register(nodes[-1], hash_of_config="ab12cd34ef56")
        for node in nodes:
            experiment.beat(node, Beat(1, -1, 0, "wait", NodeTotals()))
        folder = watched(root)
        seen = folder.look()
        assert (seen.state, seen.rounds, seen.closed, seen.left_s) == ("waiting", 40, 0, None)
        assert seen.notes == ("its coordinator has not begun",)
        assert seen.nodes[-1].problems[0].startswith("refused: its configuration is ab12cd34ef56, not ")
        costs.append(cost(folder))
    (few, lists, _), (many, lists_of_many, _) = costs
    assert many - few == 17, "a beat for each node, and no registration again"
    assert lists == lists_of_many <= 3


def test_a_configuration_that_cannot_be_read_hides_little(tmp_path: Path) -> None:
    experiment = underway(tmp_path, 5)
    opens, tallies = experiment.opens(5, NODES), experiment.tallies()
    record = StateRecord("running", 40, None, opens, tallies, config_hash="../../x")
    experiment.log.append(msgspec.json.encode(record), round=5, stage=0)
    seen = watched(tmp_path).look()
    assert (seen.label, seen.closed) == ("", 5)
    assert [line.external for line in seen.nodes] == [None] * 3


def test_a_record_of_another_version_is_an_error(tmp_path: Path) -> None:
    underway(tmp_path, 2).log.append(b'{"state": 7}', round=2, stage=0)
    with pytest.raises(SwarmStateError, match="not one this version reads"):
        Watcher(str(tmp_path), "grown").look()
