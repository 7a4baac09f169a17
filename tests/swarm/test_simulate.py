"""A swarm on the user's own Ray: run, look, read, stop; and the ways in which it may not be started."""

from collections import Counter
from pathlib import Path

import pytest
import ray
from swarm_for_tests import closed_stages, records_of, small_config

from swarm_ray import Swarm, simulate
from swarm_ray.errors import UserError
from swarm_ray.experiments import experiment_metrics, experiment_status

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, ray_session: str) -> Swarm:
    """Four nodes in two trainers that have finished."""
    root = tmp_path_factory.mktemp("done") / "My Drive"
    return simulate(small_config(nodes=4, trainers=2), str(root), "four", show=False)


def test_it_is_done_and_says_so(done: Swarm) -> None:
    assert (done.exit_code, done.message) == (0, "four is done")
    assert done.experiments == ("four",)
    (progress,) = done.progress()
    assert (progress.state, len(progress.rewards)) == ("finished", 3)
    assert not any(node.problems for node in progress.nodes)


def test_the_users_ray_is_left_running(done: Swarm) -> None:
    assert ray.is_initialized()
    assert ray.get(ray.put(7)) == 7


def test_results_are_those_in_the_folder(done: Swarm) -> None:
    (result,) = done.results()
    closed = closed_stages(done.root, "four")
    rows = experiment_metrics(done.root, "four")
    assert (result.experiment, result.nodes, result.rounds, result.state) == ("four", 4, 3, "finished")
    assert result.cumulative_reward == pytest.approx(sum(r for c in closed for r in c.rewards.values()))
    assert result.external_used == sum(row.counters.used for row in rows)
    assert result.generated_tokens == sum(row.counters.generated_tokens for row in rows)
    assert not result.learned_nothing
    assert result.pass_at_1_end is not None


def test_trainers_exchange_rollouts(done: Swarm) -> None:
    rows = experiment_metrics(done.root, "four")
    used: Counter[tuple[bool, bool]] = Counter()
    for row in rows:
        for peer, count in row.counters.used_from.items():
            here, there = int(row.node[-1]) % 2, int(peer[-1]) % 2
            used[bool(here), bool(there)] += count
    assert len(rows) == 12
    assert all(used[here, there] > 0 for here in (False, True) for there in (False, True))
    trainers = {n.id: n for n in experiment_status(done.root, "four").nodes}
    assert sorted(trainers) == [f"node-{n}" for n in range(4)]


def test_stopping_what_has_ended_is_harmless(done: Swarm) -> None:
    before = records_of(done.root, "four")
    done.stop()
    done.stop()
    assert records_of(done.root, "four") == before
    assert done.exit_code == 0
    assert ray.is_initialized()


def test_no_actor_is_left(done: Swarm) -> None:
    assert ray.util.list_named_actors(all_namespaces=True) == []


def test_an_experiment_is_not_overwritten_by_accident(done: Swarm) -> None:
    before = records_of(done.root, "four")
    with pytest.raises(UserError, match=r"seed: 9 here, 0 there.*--overwrite"):
        simulate(small_config(seed=9), done.root, "four", show=False)
    again = simulate(done.config, done.root, "four", show=False)
    assert (again.exit_code, again.message.partition(";")[0]) == (0, "four is finished already")
    assert records_of(done.root, "four") == before
    with pytest.raises(UserError, match="Four!"):
        Swarm(small_config(), done.root, "Four!", show=False)


def test_a_swarm_that_learns_nothing_is_no_success(root: str) -> None:
    """T8, and an experiment that is overwritten on purpose."""
    Path(root, "experiments", "barren").mkdir(parents=True)
    with pytest.raises(UserError, match=r"experiment\.json"):
        simulate(small_config(), root, "barren", overwrite=True, show=False)
    Path(root, "experiments", "barren", "experiment.json").write_text("{}")
    config = small_config(tasks__specialties=["never"], evaluation__questions=0)
    swarm = simulate(config, root, "barren", overwrite=True, show=False)
    assert swarm.exit_code == 3
    assert "LEARNED NOTHING" in swarm.message
    assert "in all 3 rounds" in swarm.message
    assert experiment_status(root, "barren").learned_nothing
    assert not any(row.trained for row in experiment_metrics(root, "barren"))
