"""Three machines that share nothing but a folder: a coordinator and two workers, each with a Ray of its own.

A worker's machine is killed in the middle of a decode (T2), and the coordinator's in the middle of a round (T3).
"""

from pathlib import Path

import pytest
from losses_for_tests import EXPERIMENT, MODULES, TWO, Played, play

from swarm_ray.errors import UserError
from swarm_ray.experiments import experiment_status
from swarm_ray.identity import identity_file, load_identity
from swarm_ray.swarm import work

pytestmark = [pytest.mark.machines, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(tmp_path_factory.mktemp("two"), TWO)


def test_every_round_closes_with_everybody_and_all_books_agree(played: Played) -> None:
    assert played.problems == []


def test_all_three_end_by_themselves_and_say_so(played: Played) -> None:
    """The first worker was there before the experiment was."""
    assert played.logs.keys() == {"coordinator", "worker-1", "worker-2"}
    for name, said in played.logs.items():
        assert said.splitlines()[-1] == f"{EXPERIMENT} is done", name
        assert "Traceback" not in said, name


def test_a_slow_and_a_fast_worker_both_learn_from_each_other(played: Played) -> None:
    """T1."""
    for name, peer in (("worker-1", "worker-2"), ("worker-2", "worker-1")):
        used = [row.counters.used_from.get(peer, 0) for row in played.rows[name]]
        assert sum(count > 0 for count in used) >= 0.8 * len(used)


def test_a_node_with_a_name_keeps_a_key_of_its_own(played: Played) -> None:
    told = {node.id: node.peer_id for node in experiment_status(played.root, EXPERIMENT).nodes}
    kept = {
        name: load_identity(identity_file(name, played.disks[name] / "identities")).peer_id
        for name in ("worker-1", "worker-2")
    }
    assert told == kept
    assert len({*kept.values()}) == 2


def test_each_machine_knows_its_own_settings(played: Played) -> None:
    logs = Path(played.root, "experiments", EXPERIMENT, "logs")
    assert sorted(path.name.split(".")[0] for path in logs.iterdir()) == ["worker-1", "worker-2", "worker-2"]
    assert "slow_down_s: 0.0\n" in next(Path(played.root).rglob("config-*.yaml")).read_text()


def test_nobody_joins_what_has_ended(played: Played) -> None:
    modules = f"tasks.modules=[{','.join(MODULES)}]"
    with pytest.raises(UserError, match="finished; nothing is left to train"):
        work(played.root, EXPERIMENT, "worker-3", overrides=[modules], show=False)


def test_the_worker_goes_on_with_what_it_had(played: Played) -> None:
    """T2: weights and optimizer are compared bit for bit in `play`, rewards too."""
    (said,) = played.resumed
    assert said.startswith("resumed at step ")
    assert said.endswith("nothing lost")
    (step,) = [entry.step for entry in played.diary["worker-2"] if entry.what == "restored"]
    assert step >= 2
    after = [row for row in played.rows["worker-2"] if row.step >= step]
    assert sum(row.counters.used_from.get("worker-1", 0) > 0 for row in after) >= 0.8 * len(after)
    assert {row.incarnation for row in after} != {row.incarnation for row in played.rows["worker-2"]}


def test_the_swarm_knows_who_succeeded_its_coordinator(played: Played) -> None:
    """T3: the round never went back; `play` checks all records."""
    first = next(r for r, (epoch, _) in zip(played.records, played.places, strict=True) if epoch == 2)
    assert first.opens is not None
    assert first.opens.round >= TWO.coordinator_dies_at
