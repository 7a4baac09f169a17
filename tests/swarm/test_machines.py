"""Three machines that share nothing but a folder: a coordinator and two workers, each with a Ray of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from machines_for_tests import WITHIN_S, Machine
from swarm_for_tests import SMALL, closed_stages, records_of

from swarm_ray.errors import UserError
from swarm_ray.experiments import experiment_metrics, experiment_status
from swarm_ray.identity import identity_file, load_identity
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.swarm import work

pytestmark = pytest.mark.machines

ROUNDS = 10
CHANGES = {
    "rounds": ROUNDS,
    "local": 4,
    "external": 4,
    "pace.expect": 2,
    "nodes": 1,
    "evaluation.questions": 4,
}
MODULES = "tasks.modules=[swarm_tasks_for_tests]"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("shared") / "My Drive" / "swarms of mine")


@pytest.fixture(scope="module")
def machines(root: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Machine]]:
    """All three, after each has ended by itself; the first worker was there before the experiment was."""
    logs = tmp_path_factory.mktemp("logs")
    place = ["--root", root, "--experiment", "three"]
    overrides = [f"{key}={json.dumps(value)}" for key, value in (SMALL | CHANGES).items()]
    found: dict[str, Machine] = {}
    try:
        found["worker_1"] = Machine(logs / "1", "work", *place, "--node", "worker_1", MODULES)
        found["worker_1"].waits_for("no coordinator has made it yet")
        found["coordinator"] = Machine(logs / "0", "coordinate", *place, *overrides)
        found["worker_2"] = Machine(
            logs / "2", "work", *place, "--node", "worker_2", MODULES, "slow_down_s=3"
        )
        for machine in found.values():
            machine.process.wait(WITHIN_S)
        yield found
    finally:
        for machine in found.values():
            machine.kill()


@pytest.fixture(scope="module")
def rows(root: str, machines: dict[str, Machine]) -> dict[str, list[StepMetrics]]:
    found = experiment_metrics(root, "three")
    return {name: [r for r in found if r.node == name] for name in ("worker_1", "worker_2")}


def test_all_three_end_by_themselves_and_say_so(machines: dict[str, Machine]) -> None:
    for name, machine in machines.items():
        assert machine.process.returncode == 0, (name, machine.log())
        assert machine.log().splitlines()[-1] == "three is done"
        assert "Traceback" not in machine.log()


def test_a_slow_and_a_fast_worker_both_learn_from_each_other(rows: dict[str, list[StepMetrics]]) -> None:
    """T1: the slow one takes 3 s longer over each round."""
    for name, peer in (("worker_1", "worker_2"), ("worker_2", "worker_1")):
        assert [row.round for row in rows[name]] == list(range(ROUNDS))
        assert [row.counters.offered for row in rows[name]] == [4] * ROUNDS
        used = [row.counters.used_from.get(peer, 0) for row in rows[name]]
        assert sum(count > 0 for count in used) >= 0.9 * ROUNDS
    assert sum(row.seconds["other"] for row in rows["worker_2"]) >= 3 * ROUNDS


def test_a_node_with_a_name_has_a_key_of_its_own(root: str, machines: dict[str, Machine]) -> None:
    assert machines.keys() >= {"worker_1", "worker_2"}
    told = {n.id: n.peer_id for n in experiment_status(root, "three").nodes}
    kept = {name: load_identity(identity_file(name)).peer_id for name in ("worker_1", "worker_2")}
    assert told == kept
    assert len({*kept.values()}) == 2


def test_the_books_of_all_machines_agree(root: str, rows: dict[str, list[StepMetrics]]) -> None:
    """T11."""
    closed = closed_stages(root, "three")
    status = {n.id: n for n in experiment_status(root, "three").nodes}
    last = records_of(root, "three")[-1]
    assert (last.state, last.note) == ("finished", "")
    for name, found in rows.items():
        assert [c.rewards[name] for c in closed] == [row.reward for row in found]
        assert status[name].cumulative_reward == last.tallies[name].totals.reward
        assert status[name].cumulative_reward == pytest.approx(sum(row.reward for row in found))
        assert status[name].problem is None


def test_each_machine_knows_its_own_settings(root: str, machines: dict[str, Machine]) -> None:
    folders = sorted(p.name.split(".")[0] for p in Path(root, "experiments", "three", "logs").iterdir())
    assert folders == ["worker_1", "worker_2"]
    assert "slow_down_s: 0" in next(Path(root).rglob("config-*.yaml")).read_text()


def test_nobody_joins_what_has_ended(root: str, machines: dict[str, Machine]) -> None:
    with pytest.raises(UserError, match="finished; nothing is left to train"):
        work(root, "three", "worker_3", overrides=[MODULES], show=False)
