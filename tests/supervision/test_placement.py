"""How many trainers, and with which share; pure."""

import pytest

from swarm_ray.machine.ray_actors import Machine, Share
from swarm_ray.runtime.placement import share_of, threads_of, trainer_count

ALONE = [Machine("a", 8, 1)]
THREE = [Machine("a", 8, 1), Machine("b", 16, 2), Machine("c", 4, 0)]


@pytest.mark.parametrize(
    ("wanted", "nodes", "machines", "cuda", "count"),
    [
        ("auto", 8, ALONE, True, 1),
        ("auto", 8, ALONE, False, 1),
        (4, 8, ALONE, True, 4),
        (4, 2, ALONE, True, 2),
        ("auto", 8, THREE, True, 3),
        ("auto", 8, THREE, False, 3),
        ("auto", 2, THREE, True, 2),
        ("auto", 8, [Machine("a", 8, 0), Machine("b", 0, 0)], False, 1),
        (6, 8, THREE, True, 6),
    ],
)
def test_a_trainer_a_device(wanted: int, nodes: int, machines: list[Machine], cuda: bool, count: int) -> None:
    assert trainer_count(wanted, nodes, machines, cuda=cuda) == count


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("sharers", [1, 2])
def test_the_shares_of_all_trainers_fit(count: int, sharers: int) -> None:
    share = share_of(count, ALONE, sharers, cuda=True)
    assert share.gpus * count * sharers == pytest.approx(1)
    assert share.cpus * count * sharers <= 8 + 1e-9
    assert share_of(count, ALONE, sharers, cuda=False).gpus == 0


def test_one_trainer_a_gpu_gets_the_whole_of_it() -> None:
    assert share_of(3, THREE, 1, cuda=True) == Share(1.0, 1.0)


def test_threads_come_from_the_trainers_own_machine() -> None:
    assert threads_of(["a", "b", "c"], THREE, 1) == [8, 16, 4]
    assert threads_of(["b", "b", "c"], THREE, 2) == [4, 4, 2]
    assert threads_of(["c"] * 8, THREE, 1) == [1] * 8


def test_a_share_reads_well() -> None:
    assert str(Share(1.0, 0.0)) == "1 CPU"
    assert str(Share(0.5, 0.25)) == "0.5 CPU and 0.25 GPU"
