"""T4: whatever a peer publishes, it is skipped, counted and shown, and training continues."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from actors_for_tests import OneProcessSwarm
from swarm_for_tests import closed_stages, records_of, small_config
from swarm_tasks_for_tests import coin

from drive_store import (
    Header,
    Publication,
    Registry,
    make_node_folders,
    payload_sha256,
    publish_round_file,
    seal_packed,
)
from drive_store.envelope import LENGTHS, PACKED_START, SCHEMA_VERSION, TRAILER, TRAILER_END, make_frame
from swarm_ray.config.load import config_hash
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.exchange.validation import MAX_ROUND_FILE
from swarm_ray.experiments import experiment_history, experiment_metrics, experiment_status
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.nodes import Beat, NodeTotals, Registration
from swarm_ray.records.rollouts import Completion, QuestionRef, Rollout, RoundFile, StepCounters
from swarm_ray.records.state import StageClosed, StageOpen
from swarm_ray.tasks.questions import TaskSet


class Stranger:
    """A registered node that answers every round with one of `acts`, by its name."""

    def __init__(self, address: ExperimentAddress, config: SwarmConfig, name: str = "stranger-1") -> None:
        self.name, self.life = name, "0badcafe"
        self._experiment, self._tasks = address.open(), TaskSet(config.tasks)
        self._store, self._paths = self._experiment.store, address.paths
        self._registry = Registry(self._experiment)
        self._state = StateFollower(self._experiment, config.pace, Cancellation())
        make_node_folders(self._experiment, name, self.life)
        announced = Registration(name, self.life, "elsewhere", config_hash(config), {}, "")
        self._registry.register(name, self.life, msgspec.json.encode(announced))
        self.acts: dict[str, Callable[[int], None]] = {
            "garbage": lambda n: self.write(n, b"\x00garbage\xff" * 100),
            "torn": lambda n: self.write(n, self.sealed(n, self.file(n))[:-100]),
            "junk": lambda n: self.publish(n, {"a": 1}),
            "other-experiment": lambda n: self.write(n, self.sealed(n, self.file(n), experiment="other")),
            "bomb": lambda n: self.write(n, self.sealed(n, bytes(2 * MAX_ROUND_FILE))),
            "lying-bomb": lambda n: self.write(n, self.bomb(n)),
            "other-text": lambda n: self.publish(n, self.file(n, text_hash="0" * 16)),
            "other-specialty": lambda n: self.publish(n, self.file(n, specialty="unheard-of")),
            "nan": lambda n: self.publish(
                n, {**msgspec.to_builtins(self.file(n), builtin_types=(bytes,)), "reward": math.nan}
            ),
            "endless-counts": lambda n: self.publish(n, self.boast(n)),
            "other-sizes": lambda n: self.publish(n, self.file(n, sizes=(2, 33))),
            "odd-text": lambda n: self.publish(n, self.odd(n)),
        }

    def take_part(self, acts: list[str]) -> None:
        """One act a round, then a last word."""
        number = -1
        for act in acts:
            opened = self._state.wait_open({self.name}, number)
            assert isinstance(opened, StageOpen)
            number = opened.round
            self.acts[act](number)
        assert self._state.wait_closed(number) is not None
        last = Beat(9, number, number, "done", NodeTotals(), done=True)
        self._registry.write_beat(self.name, self.life, 9, msgspec.json.encode(last))

    def file(self, number: int, sizes: tuple[int, ...] = (4,), **lie: Any) -> RoundFile:
        """Rollouts with an advantage, of these sizes; all rewards claimed are 1."""
        rollouts = []
        for place, size in enumerate(sizes):
            ref = self.question(7 * number + place)
            rollouts.append(Rollout(msgspec.structs.replace(ref, **lie), self.answers(ref.index, size)))
        return RoundFile(number, tuple(rollouts), 1.0, len(rollouts), 4 * len(rollouts))

    def question(self, index: int) -> QuestionRef:
        while self._tasks.is_held_out((question := self._tasks.question("coin", 1, index)).text):
            index += 1
        return question.ref

    def answers(self, index: int, size: int) -> tuple[Completion, ...]:
        """One right answer and one wrong one, then others."""
        texts = [str(n) for n in range(size + 60)]
        right = next(t for t in texts if coin(index, t) == 1)
        wrong = next(t for t in texts if coin(index, t) == 0)
        rest = [t for t in texts if t not in {right, wrong}][: size - 2]
        return tuple(Completion(t, 1.0, finished=True) for t in (right, wrong, *rest))

    def odd(self, number: int) -> RoundFile:
        """Right and wrong answers among texts that are hard to encode, some of them without any token."""
        ref = self.question(7 * number)
        texts = ["", " ", "<eos>", "<pad>" * 9, "\u00e9\u2028\U0001f600\0", "7" * 99_999]
        strange = tuple(Completion(t, 1.0, finished=f) for t in texts for f in (True, False))
        return RoundFile(number, (Rollout(ref, strange + self.answers(ref.index, 3)),), 1.0, 1, 4)

    def boast(self, number: int) -> RoundFile:
        """Counts as large as they can be written."""
        most = 2**64 - 1
        told = StepCounters(offered=most, used=most, rejected={"x": most}, generated_tokens=most)
        file = self.file(number)
        return msgspec.structs.replace(file, generated_tokens=most, previous=told)

    def publish(self, number: int, value: Any) -> None:
        """Publish through the store, as an honest node does."""
        payload, me = msgspec.msgpack.encode(value), {"node": self.name, "incarnation": self.life}
        publish_round_file(self._experiment, Publication(**me, round=number, stage=0, payload=payload))

    def write(self, number: int, data: bytes) -> None:
        """Write bytes under the name of a round file."""
        key = self._paths.round_file(self.name, self.life, number, 0, 0, payload_sha256(data))
        self._store.make_folder(key.rpartition("/")[0])
        self._store.create(key, data)

    def sealed(self, number: int, value: Any, **lie: Any) -> bytes:
        """An envelope, with a lie in its header or none."""
        payload = value if isinstance(value, bytes) else msgspec.msgpack.encode(value)
        return seal_packed(msgspec.structs.replace(self.header(number), **lie), payload)

    def header(self, number: int) -> Header:
        said = {"kind": "rollouts", "experiment": self._paths.experiment, "round": number}
        return Header(**said, node=self.name, incarnation=self.life)

    def bomb(self, number: int) -> bytes:
        """An envelope that promises 100 bytes and decompresses to 64 MiB."""
        packed = zstandard.ZstdCompressor().compress(bytes(64 << 20))
        head = msgspec.msgpack.encode(make_frame(self.header(number), bytes(100), "zstd", len(packed)))
        body = PACKED_START + b"%d\n" % SCHEMA_VERSION + LENGTHS.pack(len(head), len(packed)) + head + packed
        total = len(body) + TRAILER.size + len(TRAILER_END)
        return body + TRAILER.pack(total) + TRAILER_END


REFUSED_BY_COORDINATOR = {
    "garbage": "Corrupt",
    "junk": "not a round file",
    "other-experiment": "experiment 'other'",
    "bomb": "bytes, and",
    "lying-bomb": "Corrupt",
    "nan": "between 0 and 1",
    "endless-counts": "count",
}
REFUSED_BY_RECEIVERS = {"other-text": "other text", "other-specialty": "unknown specialty"}
ACTS = ["other-sizes", *REFUSED_BY_COORDINATOR, *REFUSED_BY_RECEIVERS, "odd-text", "torn"]
HONEST = ["node-0", "node-1"]


class Visited:
    """A swarm of two honest nodes and a stranger, after its end."""

    def __init__(self, root: Path) -> None:
        sizes = {"rounds": len(ACTS), "external": 4, "completions": 8}
        config = small_config(**sizes, pace__expect=3, pace__max_s=6, pace__drain_s=10)
        with OneProcessSwarm(root, config, [[node] for node in HONEST]) as swarm:
            Stranger(swarm.address, config).take_part(ACTS)
            self.results = swarm.results()
            self.state = swarm.state()
        self.root = str(root)
        self.closed: dict[str, StageClosed] = dict(zip(ACTS, closed_stages(root, "small"), strict=True))
        self.rows: dict[str, list[StepMetrics]] = {act: [] for act in ACTS}
        for row in experiment_metrics(str(root), "small"):
            self.rows[ACTS[row.round]].append(row)


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Visited:
    return Visited(tmp_path_factory.mktemp("visited") / "My Drive")


def test_training_goes_on_to_the_end(visited: Visited) -> None:
    assert visited.state == "finished"
    assert [(r.rounds, r.problems, r.stopped) for r in visited.results] == [(len(ACTS), {}, "")] * 2
    for rows in visited.rows.values():
        assert [row.node for row in rows] == HONEST
        assert all(row.loss is None or math.isfinite(row.loss) for row in rows)
    assert sum(row.trained for rows in visited.rows.values() for row in rows) > len(ACTS)


@pytest.mark.parametrize("act", REFUSED_BY_COORDINATOR)
def test_a_file_that_is_none_is_rejected_with_its_reason(visited: Visited, act: str) -> None:
    closed = visited.closed[act]
    assert [r.node for r in closed.rejected] == ["stranger-1"]
    assert REFUSED_BY_COORDINATOR[act] in closed.rejected[0].reason
    assert sorted(closed.rewards) == HONEST
    for row in visited.rows[act]:
        assert row.counters.rejected == {closed.rejected[0].reason: 1}
        assert "stranger-1" not in row.counters.used_from


@pytest.mark.parametrize("act", REFUSED_BY_RECEIVERS)
def test_a_rollout_whose_question_is_none_is_rejected_by_every_receiver(visited: Visited, act: str) -> None:
    assert visited.closed[act].rejected == ()
    for row in visited.rows[act]:
        assert row.counters.rejected == {REFUSED_BY_RECEIVERS[act]: 1}
        assert "stranger-1" not in row.counters.used_from


def test_a_file_that_is_torn_for_ever_is_missing(visited: Visited) -> None:
    closed = visited.closed["torn"]
    assert closed.missing == ("stranger-1",)
    assert sorted(closed.rewards) == HONEST


def test_another_number_of_completions_is_welcome(visited: Visited) -> None:
    """T5."""
    closed = visited.closed["other-sizes"]
    assert "stranger-1" in closed.rewards
    for row in visited.rows["other-sizes"]:
        assert row.counters.rejected == {}
        assert row.counters.offered == 4
        assert row.counters.used == 4 - row.counters.zero_advantage_external
        assert row.counters.used_from["stranger-1"] == 2


def test_odd_text_is_trained_on_like_any_other(visited: Visited) -> None:
    for row in visited.rows["odd-text"]:
        assert row.counters.used_from["stranger-1"] == 1
        assert row.trained


def test_what_was_rejected_is_counted_and_shown(visited: Visited) -> None:
    refusals = len(REFUSED_BY_COORDINATOR) + len(REFUSED_BY_RECEIVERS)
    status = {n.id: n for n in experiment_status(visited.root, "small").nodes}
    last = records_of(visited.root, "small")[-1].tallies
    for node in HONEST:
        assert status[node].external_rejected == last[node].totals.rejected == refusals
        assert status[node].problem is None
    shown = [r.reason for stage in experiment_history(visited.root, "small") for r in stage.rejected]
    assert len(shown) == len(REFUSED_BY_COORDINATOR)


def test_what_a_stranger_claims_of_itself_changes_nobody_elses_figures(visited: Visited) -> None:
    status = {n.id: n for n in experiment_status(visited.root, "small").nodes}
    for node in HONEST:
        rewards = [c.rewards[node] for c in visited.closed.values()]
        assert status[node].cumulative_reward == sum(rewards)
    assert status["stranger-1"].cumulative_reward <= len(ACTS)
