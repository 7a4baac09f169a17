"""A real swarm in one process, watched from its folder by somebody else, and its driver's view of the same."""

from pathlib import Path

import pytest
from actors_for_tests import OneProcessSwarm, until
from swarm_for_tests import small_config

from swarm_ray.observe.snapshot import ExperimentSnapshot
from swarm_ray.observe.watch import Watcher
from swarm_ray.runtime.worker_view import WorkerView

NODES = ["node-0", "node-1", "node-2"]
ROUNDS = 6


class Seen:
    """What was seen of a swarm from its folder, and by its driver, until it had ended."""

    def __init__(self, root: Path) -> None:
        config = small_config(nodes=3, rounds=ROUNDS, pace__expect=3, local=2, external=2)
        self.snapshots: list[ExperimentSnapshot] = []
        watcher = Watcher(str(root), "small")
        coordinated = WorkerView("small", config, tuple(NODES))
        worked = coordinated

        def look() -> bool:
            nonlocal coordinated, worked
            self.snapshots.append(watcher.look())
            status, said = swarm.coordinator.status(), swarm.logger.progress()
            coordinated = coordinated.with_coordinator(status, starting=False, hosts=True)
            coordinated = coordinated.with_logger(said, "", coordinates=True, starting=False)
            worked = worked.with_logger(said, "", coordinates=False, starting=False)
            return self.snapshots[-1].ended

        with OneProcessSwarm(root, config, [NODES[:1], NODES[1:]]) as swarm:
            until(look)
            self.results = swarm.results()
        look()
        self.last = self.snapshots[-1]
        self.coordinated, self.worked = coordinated.snapshot(), worked.snapshot()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return Seen(tmp_path_factory.mktemp("live") / "My Drive")


def test_it_is_followed_from_its_beginning_to_its_end(seen: Seen) -> None:
    closed = [snapshot.closed for snapshot in seen.snapshots]
    assert closed == sorted(closed)
    assert {"running", "finished"} <= {snapshot.state for snapshot in seen.snapshots}
    assert all(snapshot.alarms == () for snapshot in seen.snapshots)
    assert (seen.last.closed, seen.last.rounds, seen.last.label) == (ROUNDS, ROUNDS, "2 local / 2 external")
    assert seen.last.result.startswith(f"cumulative reward {seen.last.cumulative:.2f}")


def test_each_node_is_told_of(seen: Seen) -> None:
    assert [line.node for line in seen.last.nodes] == NODES
    for line in seen.last.nodes:
        assert (line.round, line.step, line.problems, line.done) == (ROUNDS - 1, ROUNDS, (), True)
        assert line.step_s is not None
        assert line.tokens_per_s is not None
        assert line.external is not None
        assert line.by_clocks is False


def test_the_driver_of_a_coordinator_sees_the_same(seen: Seen) -> None:
    snapshot = seen.coordinated
    assert (snapshot.state, snapshot.closed) == ("finished", ROUNDS)
    assert snapshot.cumulative == pytest.approx(seen.last.cumulative)
    assert snapshot.reward == pytest.approx(seen.last.reward)
    mine = [(line.node, line.round, line.reward, line.problems) for line in snapshot.nodes]
    assert mine == [(line.node, line.round, line.reward, ()) for line in seen.last.nodes]


def test_a_worker_shows_its_own_nodes(seen: Seen) -> None:
    snapshot = seen.worked
    assert (snapshot.closed, [line.node for line in snapshot.nodes]) == (ROUNDS, NODES)
    for line, known in zip(snapshot.nodes, seen.last.nodes, strict=True):
        assert (line.round, line.step, line.reward) == (known.round, known.step, known.reward)
        assert line.external is not None
        assert line.step_s is not None
