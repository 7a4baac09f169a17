"""A game whose payloads go directly from node to node over real links, and one node that has no link."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from game_swarm_for_tests import DirectSink, GameSwarm, RgymFactory, game_config
from restarts_for_tests import events_of
from swarm_for_tests import closed_stages

from actors.trainer.game_trainer import GameTrainer
from actors.trainer.settings import TrainerSettings
from swarm_ray.exchange.validation import read_peer_file
from swarm_ray.experiments import experiment_metrics, experiment_status
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.machine.local_disk import cache_folder
from swarm_ray.records.nodes import Reached
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import FileRef

NODES = ("node-0", "node-1", "node-2")
LINKLESS = NODES[-1]


class MixedGame(GameSwarm):
    """Three nodes of which the last has no link."""

    def trainer(  # type: ignore[override]
        self, address: ExperimentAddress, nodes: Sequence[str], reporter: DirectSink
    ) -> GameTrainer:
        exchange = "folder" if LINKLESS in nodes else "hivemind"
        config = self.config.model_copy(update={"exchange": exchange})
        disk, game = cache_folder(), self._factory
        settings = TrainerSettings(address, config, tuple(nodes), disk, None, threads=1, game=game)
        return GameTrainer(settings, reporter)

    def whole(self, ref: FileRef) -> bool:
        """Whether a file holds its payload itself, and not a receipt for it."""
        file = read_peer_file(self.address.open(), ref)
        assert isinstance(file, RoundFile)
        assert (file.receipt is None) == bool(file.game)
        return bool(file.game)


def test_payloads_go_directly_and_others_get_whole_files(tmp_path: Path, verifier: Any) -> None:
    said = {
        "nodes": 3,
        "pace.expect": 3,
        "external": 6,
        "direct.listen": "127.0.0.1",
        "pace.dead_after_s": 60,
    }
    swarm = MixedGame(tmp_path / "root", game_config(5, **said), RgymFactory(verifier), hosted=NODES)
    assert [(r.rounds, r.problems, r.stopped) for r in swarm.played()] == [(5, {}, "")] * 3
    stages = closed_stages(swarm.root, "small")
    went_directly = {(s.round, ref.node) for s in stages for ref in s.accepted if not swarm.whole(ref)}
    assert {node for _, node in went_directly} == {"node-0", "node-1"}
    first = min(number for number, _ in went_directly)
    assert first <= 1, "they met before the first round, or in it"
    assert max(number for number, _ in went_directly) <= first + 2, "whole again once they had heard of it"

    rows = {(row.node, row.round): row for row in experiment_metrics(str(swarm.root), "small")}
    lost = {node for number, node in went_directly if number == first}
    assert not lost & set(rows[LINKLESS, first].counters.used_from)
    unheard = [e for e in events_of(str(swarm.root), "game") if "could not be fetched directly" in e.text]
    assert {(e.node, e.round) for e in unheard} >= {(LINKLESS, first)}
    assert {e.node for e in unheard} == {LINKLESS}, "the others fetch all that goes directly"
    status = {n.id: n.reached for n in experiment_status(str(swarm.root), "small").nodes}
    assert status["node-0"] == Reached(folder=("node-1", "node-2")), "as in the last round"
