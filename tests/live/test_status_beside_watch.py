"""`status` and `watch --once` tell the same of a coordinator: alive, silent, paused, ended, or never there."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from experiments_for_tests import CLAIMANT, FakeExperiment, totals_after
from live_for_tests import NODES, config, coordinate, underway

from swarm_ray.cli import main
from swarm_ray.records.nodes import Beat

MINUTES_10 = 600.0


class Told:
    """What both commands print of the experiment `grown`, and what status says of its coordinator as JSON."""

    def __init__(self, said: Callable[..., str]) -> None:
        name = ("--experiment", "grown")
        self._texts = [
            " ".join(text.split()) for text in (said("status", *name), said("watch", "grown", "--once"))
        ]
        self.coordinator = json.loads(said("status", *name, "--json"))["coordinator"]

    def both(self, text: str) -> bool:
        """Whether both say so, however their lines are broken."""
        return all(text in told for told in self._texts)

    def neither(self, text: str) -> bool:
        return not any(text in told for told in self._texts)


Look = Callable[[], Told]


@pytest.fixture
def look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Look:
    """Calls both commands."""

    def said(*words: str) -> str:
        assert main([*words, "--root", str(tmp_path)]) == 0
        return capsys.readouterr().out

    return lambda: Told(said)


def fresh_beats(experiment: FakeExperiment, *, alone: bool = False, nodes: list[str] = NODES) -> None:
    for node in nodes:
        experiment.beat(node, Beat(99, 4, 5, "wait", totals_after([0.1] * 5), alone=alone))


def test_one_that_beats_is_alive_however_old_its_records(tmp_path: Path, look: Look) -> None:
    experiment = underway(tmp_path, 5)
    experiment.age(MINUTES_10)
    coordinate(experiment, 7)
    fresh_beats(experiment)
    told = look()
    assert told.both("grown is running")
    assert told.both(f"{CLAIMANT}, epoch 1, last heard of")
    assert told.neither("no heartbeat of a coordinator")
    assert told.coordinator["claimant"] == CLAIMANT
    assert (told.coordinator["alive"], told.coordinator["problem"]) == (True, None)


def test_one_that_died_ten_minutes_ago(tmp_path: Path, look: Look) -> None:
    experiment = underway(tmp_path, 5)
    experiment.register("node-9")
    every = [*NODES, "node-9"]
    assert look().neither("silent")
    experiment.age(MINUTES_10)
    told = look()
    assert told.both("node-9: silent for 10 min"), "it died before its first beat"
    assert told.both("grown was running when it was last heard of")
    assert told.both(f"{CLAIMANT}, epoch 1, last heard of about 10 min ago")
    assert told.both("for 10 min, nor of any node: run the command that started it again")
    assert told.both("node-0: silent for 10 min")
    assert told.coordinator["alive"] is False
    assert told.coordinator["last_seen_s"] >= MINUTES_10
    fresh_beats(experiment, nodes=every)
    told = look()
    assert told.both("for 10 min: its nodes wait for a coordinator to come back")
    assert told.neither("silent")
    fresh_beats(experiment, alone=True, nodes=every)
    assert look().both("for 10 min: 4 of 4 nodes train alone")
    experiment.age(MINUTES_10)
    fresh_beats(experiment, alone=True, nodes=NODES[:1])
    told = look()
    assert told.both("for 20 min: 1 of 4 nodes train alone")
    assert told.both("node-0: trains alone")
    assert told.neither("node-1: trains alone")


def test_a_pause_is_explained_while_somebody_can_be_asked(tmp_path: Path, look: Look) -> None:
    experiment = underway(tmp_path, 5)
    experiment.append("paused")
    fresh_beats(experiment)
    told = look()
    assert told.both("grown is paused")
    assert told.both("no further round opens until somebody asks it to resume")
    experiment.age(MINUTES_10)
    fresh_beats(experiment)
    told = look()
    assert told.both("grown was paused when it was last heard of")
    assert told.neither("asks it to resume")


def test_one_that_ended_is_not_missed(tmp_path: Path, look: Look) -> None:
    experiment = underway(tmp_path, 5)
    experiment.finish()
    experiment.age(MINUTES_10)
    told = look()
    assert told.both("grown is finished")
    assert told.both(f"{CLAIMANT}, epoch 1")
    assert told.neither("last heard of")
    assert (told.coordinator["alive"], told.coordinator["problem"]) == (False, None)


def test_one_that_never_began(tmp_path: Path, look: Look) -> None:
    experiment = FakeExperiment(tmp_path, "grown", config())
    told = look()
    assert told.both("grown is waiting")
    assert told.both("its coordinator has not begun")
    assert told.coordinator is None
    experiment.register(*NODES)
    fresh_beats(experiment)
    assert look().neither("silent")
    experiment.age(MINUTES_10)
    assert look().both("node-2: silent for 10 min")
    experiment.append("waiting", tallies={})
    experiment.age(MINUTES_10)
    assert look().both("for 10 min, nor of any node")


def test_a_run_that_learned_nothing_in_all_its_rounds(tmp_path: Path, look: Look) -> None:
    experiment = underway(tmp_path, 4, of=4)
    experiment.finish(learned_nothing=True, barren=4)
    assert look().both("LEARNED NOTHING: in all 4 rounds no group of any node had an advantage")
