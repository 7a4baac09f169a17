"""A swarm of two trainers in one process: its books agree, and its work on the folder stays within its budget."""

from collections import Counter
from pathlib import Path

import pytest
from actors_for_tests import OneProcessSwarm
from swarm_for_tests import closed_stages, records_of, small_config

from actors.trainer.settings import TrainerResult
from drive_store import ExperimentStore, Store, history
from swarm_ray.discovery import PeerBook
from swarm_ray.experiments import experiment_metrics, experiment_status
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.nodes import PeerRecord, Role
from swarm_ray.records.state import StageClosed, StateRecord

ROUNDS = 3


class Finished:
    """What a swarm of `count` nodes left behind: the first node in a trainer of its own, the rest in another."""

    def __init__(self, root: Path, count: int) -> None:
        config = small_config(nodes=count, rounds=ROUNDS, pace__expect=count, external=4)
        nodes = [f"node-{n}" for n in range(count)]
        with OneProcessSwarm(root, config, [nodes[:1], nodes[1:]]) as swarm:
            self.results: list[TrainerResult] = swarm.results()
            self.state = swarm.state()
        self.swarm, self.nodes, self.root = swarm, nodes, str(root)
        self.records: list[StateRecord] = records_of(root, "small")
        self.closed: list[StageClosed] = closed_stages(root, "small")
        self.rows: list[StepMetrics] = experiment_metrics(str(root), "small")


def found_by(run: Finished, role: Role) -> list[PeerRecord]:
    """By what nodes and coordinator are found; the count of a record is how often it was written."""
    return [r for r in PeerBook(Store(run.root), ttl_s=1.0).entries() if r.role == role]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("two") / "My Drive", 2)


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("six") / "My Drive", 6)


@pytest.fixture(scope="module", params=["two", "six"])
def run(request: pytest.FixtureRequest) -> Finished:
    found: Finished = request.getfixturevalue(request.param)
    return found


def test_it_runs_to_its_end(run: Finished) -> None:
    assert run.results == [TrainerResult(ROUNDS, {}), TrainerResult(ROUNDS, {})]
    assert run.state == "finished"
    assert [r.state for r in run.records] == ["waiting", *["running"] * ROUNDS, "draining", "finished"]
    assert run.records[-1].note == ""
    assert [c.round for c in run.closed] == list(range(ROUNDS))
    for closed in run.closed:
        assert sorted(closed.rewards) == sorted(closed.informative) == run.nodes
        assert (closed.missing, closed.late, closed.superseded, closed.rejected) == ((), (), (), ())


def test_sums_of_metrics_and_of_the_state_log_are_equal(run: Finished) -> None:
    """T11: to the last bit, for every node."""
    last = run.records[-1].tallies
    status = {n.id: n for n in experiment_status(run.root, "small").nodes}
    for node in run.nodes:
        rows = [row for row in run.rows if row.node == node]
        assert [row.round for row in rows] == list(range(ROUNDS))
        assert [row.step for row in rows] == list(range(ROUNDS))
        logged = stored = 0.0
        for row, closed in zip(rows, run.closed, strict=True):
            logged += row.reward
            stored += closed.rewards[node]
        assert logged == stored == last[node].totals.reward == status[node].cumulative_reward
        assert last[node].totals.used == sum(row.counters.used for row in rows)
        assert last[node].totals.offered == sum(row.counters.offered for row in rows)
        assert last[node].totals.generated_tokens == sum(row.counters.generated_tokens for row in rows)


def test_rollouts_cross_between_the_trainers(run: Finished) -> None:
    used: dict[str, Counter[str]] = {node: Counter() for node in run.nodes}
    for row in run.rows:
        assert row.counters.offered == 2 * (len(run.nodes) - 1)
        assert row.counters.rejected == {}
        used[row.node].update(row.counters.used_from)
    assert used["node-0"].total() > 0
    assert all(used[node]["node-0"] > 0 for node in run.nodes[1:])
    assert all(node not in peers for node, peers in used.items())


def test_an_accepted_file_is_in_one_record_and_is_there(run: Finished) -> None:
    """I2."""
    keys = [ref.key for closed in run.closed for ref in (*closed.accepted, *closed.late, *closed.superseded)]
    assert len(keys) == len(set(keys)) == ROUNDS * len(run.nodes)
    folder = Path(run.root)
    published = {p.relative_to(folder).as_posix() for p in folder.rglob("rollouts/*/*/*")}
    assert set(keys) == published


def test_sequence_and_round_only_grow(run: Finished) -> None:
    """I4."""
    entries = history(ExperimentStore(Store(run.root), run.swarm.address.paths))
    positions = [(e.ref.epoch, e.ref.sequence) for e in entries]
    assert positions == [(1, number) for number in range(len(entries))]
    rounds = [e.header.round for e in entries]
    assert rounds == sorted(rounds)


def test_a_node_writes_at_most_two_files_a_round(run: Finished) -> None:
    """One round file each, and beside it what a node writes once: registration, beats, machine, logs, a checkpoint."""
    checkpoint = 4
    for address, hosted in zip(run.swarm.training, (run.nodes[:1], run.nodes[1:]), strict=True):
        # The first file has to make its bucket's folder.
        published = address.operations.creates - (1 + checkpoint) * len(hosted)
        assert published == ROUNDS * len(hosted)
        assert address.operations.overwrites == 0
    once = 1 + 1 + 1 + 1 + 2 * 2  # registration, first and last beat, machine, two segments of two kinds
    counted = [address.operations for address in (run.swarm.discovering, run.swarm.logging)]
    written = sum(asked.creates + asked.overwrites for asked in counted)
    found = sum(record.count for record in found_by(run, "trainer"))  # follow the clock and not the rounds
    assert written - found <= (once + ROUNDS) * len(run.nodes)


def test_the_coordinator_writes_at_most_five_files_a_round(run: Finished) -> None:
    operations = run.swarm.coordinating.operations
    around = 2 * 3 + 2  # record and copy for waiting, opening and finished; folders of copies made at first
    (itself,) = found_by(run, "coordinator")
    signs = 2 * itself.count  # with each sign of life, which follow the clock and not the rounds, a beat
    assert operations.creates + operations.overwrites - signs <= 5 * ROUNDS + around


def test_a_trainer_lists_no_more_when_the_swarm_is_larger(two: Finished, six: Finished) -> None:
    """A listing belongs to one look at the state log in forty, or to a node's beginning or end."""
    for run in (two, six):
        for address, hosted in zip(run.swarm.training, (run.nodes[:1], run.nodes[1:]), strict=True):
            operations = address.operations
            assert operations.lists <= 4 + 16 * len(hosted) + operations.reads / 10


def test_everybody_was_to_be_found_and_has_left(run: Finished) -> None:
    found = [*found_by(run, "coordinator"), *found_by(run, "trainer")]
    assert [(r.node, r.left) for r in found] == [("coordinator", True), *((node, True) for node in run.nodes)]


def test_files_stay_few(run: Finished) -> None:
    """What lies in the folder at the end, node by node and round by round."""
    files = [p.relative_to(run.root).as_posix() for p in Path(run.root).rglob("*") if p.is_file()]
    of_nodes = [f for f in files if any(f"/{node}." in f for node in run.nodes)]
    around = 4 + 2 * 2 + 4  # registration, beats and machine; two segments of two kinds; a checkpoint
    assert len(of_nodes) <= (ROUNDS + around) * len(run.nodes)
    assert len(files) - len(of_nodes) <= 3 * ROUNDS + 8


def test_the_last_words_and_evaluations_are_there(run: Finished) -> None:
    for node in experiment_status(run.root, "small").nodes:
        assert node.problem is None
        assert node.pass_at_1_start is not None
        assert node.pass_at_1_end is not None
        assert (node.round, node.step) == (ROUNDS - 1, ROUNDS)
