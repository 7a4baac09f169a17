"""Whole swarms whose rollouts travel directly, with members that have no link, and links that die."""

import os
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from actors_for_tests import DirectSink, OneProcessSwarm, until
from link_for_tests import Deaf
from swarm_for_tests import closed_stages, small_config

from actors.trainer.settings import TrainerSettings
from actors.trainer.trainer import Trainer
from swarm_ray.exchange.validation import read_peer_file
from swarm_ray.experiments import experiment_metrics, experiment_status
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.machine.local_disk import cache_folder
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.nodes import Reached
from swarm_ray.records.state import FileRef

NODES = ("node-1", "node-2", "node-3", "node-4")
LINKS: dict[str, Any] = {"exchange": "hivemind", "direct__listen": "127.0.0.1", "direct__start_s": 60.0}
DIRECT = LINKS | {"evaluation__questions": 0, "pace__max_s": 30}


class MixedSwarm(OneProcessSwarm):
    """Trainers with a node each, of which the last has no link and never had one."""

    def trainer(self, address: ExperimentAddress, nodes: Sequence[str], reporter: DirectSink) -> Trainer:
        exchange = "folder" if NODES[-1] in nodes else "hivemind"
        config = self.config.model_copy(update={"exchange": exchange})
        settings = TrainerSettings(address, config, tuple(nodes), cache_folder(), None, threads=1)
        return Trainer(settings, reporter)


def refusals(rows: Sequence[StepMetrics], node: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for row in rows:
        if row.node == node:
            found.update(row.counters.rejected)
    return found


def test_both_reach_each_other_directly_and_the_folder_has_receipts(tmp_path: Path) -> None:
    nodes, before = NODES[:2], _daemons()
    config = small_config(nodes=2, rounds=4, external=4, pace__expect=2, **DIRECT)
    with OneProcessSwarm(tmp_path / "My Drive", config, [[n] for n in nodes], "direct") as swarm:
        swarm.finish()
    assert _daemons() <= before
    rows = experiment_metrics(str(swarm.root), "direct")
    assert [refusals(rows, node) for node in nodes] == [Counter()] * 2
    assert {(row.node, row.counters.offered) for row in rows} == {(node, 2) for node in nodes}
    files = [ref for stage in closed_stages(swarm.root, "direct") for ref in stage.accepted]
    assert len(files) == 8
    assert sum(_has_receipt(swarm, ref) for ref in files) >= 6, "all but perhaps the first, before they met"
    status = experiment_status(str(swarm.root), "direct")
    reached = [Reached(direct=(other,)) for other in nodes[::-1]]
    assert [n.reached for n in status.nodes] == reached
    assert all(n.peer_id.startswith("12D3Koo") for n in status.nodes)


def test_one_without_a_link_one_that_hears_nothing_and_one_whose_link_dies(tmp_path: Path) -> None:
    config = small_config(nodes=4, rounds=8, external=6, pace__expect=4, pace__dead_after_s=60, **DIRECT)
    with MixedSwarm(tmp_path / "My Drive", config, [[n] for n in NODES], "mixed") as swarm:
        first, second, third, _ = swarm.trainers
        until(lambda: all((link := t._exchange.direct.link) and link.alive for t in (first, second, third)))
        second._exchange.direct.link = Deaf(second._exchange.direct.link)  # type: ignore[arg-type]
        until(lambda: third._number >= 3)
        _kill_link(third)
        swarm.finish()
    rows = experiment_metrics(str(swarm.root), "mixed")
    assert {row.node: row.round for row in rows} == dict.fromkeys(NODES, 7)
    for node in NODES:
        used = sum(row.counters.offered for row in rows if row.node == node)
        lost = refusals(rows, node)
        assert all("could not be fetched directly" in reason for reason in lost)
        assert lost.total() <= 9, "each peer is asked a few times, and then carries all through the folder"
        assert used - lost.total() >= 8 * 6 * 0.7
    reached = {n.id: n.reached for n in experiment_status(str(swarm.root), "mixed").nodes}
    assert all(NODES[3] in (found.folder if found else ()) for n, found in reached.items() if n != NODES[3])
    values = list((swarm.root / "experiments").rglob("*.value"))
    assert values, "what was asked for was put into the folder"


def test_in_async_pace_where_nobody_waits_a_link_that_dies_is_started_again(tmp_path: Path) -> None:
    config = small_config(nodes=2, rounds=4000, pace__mode="async", slow_down_s=0.3, **DIRECT)
    with OneProcessSwarm(tmp_path / "My Drive", config, [[n] for n in NODES[:2]], "hasty") as swarm:
        first, second = swarm.trainers
        until(lambda: any(_reaches(trainer) for trainer in (first, second)))
        _kill_link(second)
        link: Any = second._exchange.direct.link
        until(lambda: not link.alive)
        until(lambda: link.alive)
        for trainer in (first, second):
            trainer.stop()
        swarm.results()


def _daemons() -> set[int]:
    """p2pd of this process; other tests may have some."""
    return {p.pid for p in psutil.Process().children(recursive=True) if "p2pd" in p.name()}


def _reaches(trainer: Trainer) -> bool:
    reached = trainer._exchange.direct.reached
    return reached is not None and bool(reached.direct)


def _kill_link(trainer: Trainer) -> None:
    """SIGKILL to the process of a trainer's link, as the kernel does when memory is short."""
    link: Any = trainer._exchange.direct.link
    before = link.alive
    os.kill(link._process._process.pid, signal.SIGKILL)
    assert before


def _has_receipt(swarm: OneProcessSwarm, ref: FileRef) -> bool:
    file: Any = read_peer_file(swarm.address.open(), ref)
    return file.receipt is not None
