"""What a run asked of the shared folder: the records' counts add up to those of the stores."""

from dataclasses import asdict
from pathlib import Path

import msgspec
import pytest
from actors_for_tests import Killed, OneProcessSwarm, kill_at, release
from swarm_for_tests import closed_stages, small_config

from actors.store_meter import BYTES, StoreMeter, add_use
from drive_store import ExperimentStore, Operations, Registry, Store, Valid
from swarm_ray.experiments import experiment_metrics
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.nodes import Beat, StoreUse

ROUNDS = 4
NODES = ("node-0", "node-1", "node-2")
CONFIG = small_config(nodes=3, rounds=ROUNDS, pace__expect=3, checkpoint__every=1000, evaluation__questions=0)


class Finished:
    """A swarm of two trainers that ran to its end; the second was killed in its third round if asked for."""

    def __init__(self, folder: Path, *, kill: bool) -> None:
        self.swarm = swarm = OneProcessSwarm(folder / "My Drive", CONFIG, [NODES[:1], NODES[1:]])
        if kill:
            kill_at(swarm.trainers[1], swarm.trainers[1]._exchange, "gather", 3)
        with swarm:
            if kill:
                with pytest.raises(Killed):
                    swarm.results()
                release(swarm.trainers[1])
                swarm.restart(1)
            else:
                swarm.results()
            assert swarm.state() == "finished"
        self.rows = experiment_metrics(str(swarm.root), "small")
        self.stores = [trainer._store for trainer in swarm.trainers]

    def rows_of(self, *nodes: str) -> list[StepMetrics]:
        return [row for row in self.rows if row.node in nodes]

    def last_word(self, node: str) -> Beat:
        """The node's newest beat."""
        registry = Registry(ExperimentStore(Store(str(self.swarm.root)), self.swarm.address.paths))
        life = max((row.step, row.incarnation) for row in self.rows_of(node))[1]
        reading = registry.read_beat(node, life)
        assert isinstance(reading, Valid)
        return msgspec.json.decode(reading.payload, type=Beat)


def counts(operations: Operations) -> StoreUse:
    """What a store counted, as a record tells it."""
    found = asdict(operations)
    calls = {kind: count for kind, count in found.items() if count and kind not in BYTES}
    return StoreUse(calls, found["bytes_read"], found["bytes_written"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("whole"), kill=False)


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("cut"), kill=True)


def test_rows_and_the_last_word_of_a_trainer_add_up_to_what_its_store_counted(whole: Finished) -> None:
    told = [row.store for row in whole.rows_of("node-1", "node-2")]
    assert add_use(*told, whole.last_word("node-1").store) == counts(whole.stores[1].operations)


def test_the_first_row_of_a_round_alone_tells(whole: Finished) -> None:
    assert all(row.store is not None for row in whole.rows_of("node-0", "node-1"))
    assert all(row.store is None for row in whole.rows_of("node-2"))
    assert whole.last_word("node-2").store is None


def test_what_discovery_and_the_logger_asked_is_in_the_beats_of_the_first_node(whole: Finished) -> None:
    told = add_use(*[row.store for row in whole.rows_of("node-0")], whole.last_word("node-0").store)
    swarm = whole.swarm
    asked = [whole.stores[0].operations, swarm.logging.operations, swarm.discovering.operations]
    wanted = add_use(*map(counts, asked))
    for kind in ("creates", "folders"):  # no registration, log or checkpoint is made after the last word
        assert told.operations[kind] == wanted.operations[kind]
    assert 0 < told.bytes_written <= wanted.bytes_written


def test_a_stage_tells_what_the_coordinator_asked_since_the_stage_before(whole: Finished) -> None:
    stages = closed_stages(whole.swarm.root, "small")
    assert [stage.round for stage in stages] == list(range(ROUNDS))
    told = [stage.store for stage in stages if stage.store is not None]
    assert len(told) == ROUNDS
    # Between two stages there is one state record, with its copies of rewards and winners.
    assert [use.operations["creates"] for use in told[1:]] == [3] * (ROUNDS - 1)
    after = 3 + 1  # the last stage's own record, and the one that says finished
    counted = whole.swarm.coordinating.operations
    assert add_use(*told).operations["creates"] + after == counted.creates
    assert add_use(*told).bytes_written < counted.bytes_written


def test_a_restart_counts_anew_and_nothing_twice(cut: Finished) -> None:
    rows = cut.rows_of("node-1", "node-2")
    assert sorted((row.node, row.step) for row in rows) == [(n, s) for n in NODES[1:] for s in range(ROUNDS)]
    lives = {row.incarnation for row in rows if row.step == ROUNDS - 1}
    told = [row.store for row in rows if row.incarnation in lives]
    assert add_use(*told, cut.last_word("node-1").store) == counts(cut.stores[1].operations)
    assert {row.store for row in rows if row.replayed} == {None}


def test_a_meter_tells_what_came_since_it_was_asked(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    meter = StoreMeter(store)
    store.create("one", b"12345")
    assert meter.since_last() == StoreUse({"creates": 1}, 0, 5)
    assert meter.since_last() == StoreUse()
    store.read("one", 100)
    store.read("two", 100)
    assert meter.since_last() == StoreUse({"reads": 2}, 5, 0)
    assert meter.total() == StoreUse({"creates": 1, "reads": 2}, 5, 5)
    one, all_four = StoreUse({"reads": 1}, 1, 1), StoreUse({"creates": 1, "reads": 3}, 6, 6)
    assert add_use(None, meter.total(), one) == all_four
