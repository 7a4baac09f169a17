"""The trainer of a GenRL game: one node, which plays it with a manager of its own."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from typing import Any

import torch

from actors.store_meter import StoreMeter
from actors.trainer.exchange import drain_spools
from actors.trainer.game_joining import describe_learner, join_game, learner_of
from actors.trainer.game_rounds import GameOver
from actors.trainer.reporter import beats_while_loading
from actors.trainer.restoring import claim_nodes, restore_nodes
from actors.trainer.settings import ReportSink, TrainerResult, TrainerSettings
from actors.trainer.trainer import STOP_WITHIN_S
from swarm_ray.discovery.peer_book import PeerBook
from swarm_ray.errors import StopRequested, Superseded, SwarmError, UserError
from swarm_ray.experiments.local_state import local_folder
from swarm_ray.genrl.communication import GameCommunication, PreviousRound
from swarm_ray.genrl.coordinator import GameCoordinator
from swarm_ray.genrl.recorder import GameRecorder, GameRow, step_metrics
from swarm_ray.genrl.setup import GamePlace
from swarm_ray.machine.cancellation import Cancellation


class GameTrainer(GameRecorder):
    """Plays a game as one node, and is its manager's recorder: it keeps, tells and resumes.

    Args:
        settings: what to play, and where; `game` makes the manager.
        sink: where metrics, events and signs of life go.

    Raises:
        UserError: there is not exactly one node, or the manager is not built on what it was given.
    """

    def __init__(self, settings: TrainerSettings, sink: ReportSink) -> None:
        torch.set_num_threads(settings.threads)
        if len(settings.nodes) != 1:
            raise UserError("a game has one trainer for each node: set trainers to the number of nodes")
        self._settings, self._config = settings, settings.config
        self._cancellation = Cancellation()
        self._experiment = settings.address.open()
        self._store = self._experiment.store
        self._meter = StoreMeter(self._store)
        self._communication = GameCommunication(settings.nodes[0])
        self._book = PeerBook(self._store, ttl_s=settings.config.pace.dead_after_s)
        self._coordinator = GameCoordinator(
            self._communication, lambda: self._rounds.opened, self._reachable_peers
        )
        disk = local_folder(settings.address)
        self._restored = claim_nodes(settings.nodes, disk, self._experiment, settings.identities)
        try:
            with beats_while_loading(sink, self._restored.continued, self._config.pace.beat_s):
                self._manager = self._make_manager()
                self._restore(disk)
        except BaseException:
            self._restored.release()
            raise
        self._manager.failures_tolerated = settings.config.supervision.data_failures
        (self._node,) = self.nodes = self._restored.nodes
        self._communication.counted = self._began = self._node.step
        self._told: set[str] = set()
        self._barren = 0  # rounds in a row without an own group that had an advantage
        game = join_game(
            settings,
            sink,
            self._restored,
            self._experiment,
            self._communication,
            self._cancellation,
            self._meter,
        )
        self._state, self._published, self._reporter = game.state, game.published, game.reporter
        self._rounds, self._checkpoints, self._link = game.rounds, game.checkpoints, game.link

    def run(self) -> TrainerResult:
        """See `_run`; the node's beats end with it, however it ends."""
        try:
            return self._run()
        finally:
            self._reporter.end()

    def _run(self) -> TrainerResult:
        """Register, play to the end, and take a last checkpoint in any case.

        Raises:
            Superseded: another process goes on in the place of the node.
            StoreError: the own disk is full.
        """
        stopped, left, kept, within_s = "", list[str](), self.nodes, STOP_WITHIN_S
        try:
            self._reporter.register(self._restored)
            if self._link is not None:
                self._link.start()
                self._state.while_waiting(self._link.keep)
            self._reporter.start(self.nodes, lambda _: describe_learner(self._manager.trainer, self._config))
            stopped = self._play()
            if not stopped:
                self._check_played()
                self._reporter.published(self.nodes, alone=True, phase="draining")
                left += self._drain()
                within_s = self._config.pace.drain_s
        except StopRequested as reason:
            stopped = str(reason)
        except Superseded:
            kept = []  # what another process goes on with is not to be overtaken by ours
            raise
        finally:
            if self._link is not None:
                self._link.close()
            with self._reporter.busy("checkpointing"):
                left += self._checkpoints.close(kept, within_s)
        for line in left:
            self._reporter.tell("left", line)
        self._reporter.farewell(self.nodes, done=not stopped)
        self._restored.release()
        problems = {n.id: n.problem for n in self.nodes if n.problem}
        nothing = self._barren >= self._config.alarm_streak
        return TrainerResult(
            self._node.step - self._began, problems, stopped, tuple(left), learned_nothing=nothing
        )

    def stop(self) -> None:
        """End within the next token, pass or look at the folder; harmless when repeated."""
        self._cancellation.cancel()

    def first_round(self) -> int:
        """The round to begin with; see `GameRecorder`."""
        number = self._rounds.first(self._manager)
        self._communication.counted = self._began = self._node.step  # steps that are lost count, too
        return number

    def restore(self, manager: Any) -> None:
        """The checkpoint was given to the trainer when this was built; how long the game is the experiment says."""
        manager.max_round = self._config.rounds

    def round_ended(self, manager: Any, row: GameRow) -> None:
        """Count, tell and keep a round; then wait for the next, and pass over those that went by without us.

        Raises:
            StopRequested: there is none, or the worker was told to stop.
        """
        node, alone = self._node, self._rounds.alone
        with manager.phases.phase("report"):
            metrics = step_metrics(row, node.id, node.incarnation, step=node.step, alone=alone)
            metrics.store = self._meter.since_last()
            self._count(row)
            self._checkpoints.hold([metrics])
            self._reporter.metrics([metrics])
            for problem in row.problems:
                if _gist(problem) not in self._told:  # what stays as it is need not be said in every round
                    self._reporter.tell("game", problem, node.id, row.round)
            self._told = {_gist(problem) for problem in row.problems}
            if self._link is not None:
                self._link.keep()
            # A beat is all that shows peers without a coordinator how far we are.
            self._reporter.published(self.nodes, alone=alone or not self._settings.coordinated)
            self._reporter.tell_standing(alone=alone)
        with manager.phases.phase("checkpoint"):
            self._checkpoints.after_round(self.nodes, row.round)
        if self._config.slow_down_s:
            self._cancellation.pause(self._config.slow_down_s)
        with manager.phases.phase("wait"):
            self._rounds.go_on(manager, row.round)

    def failed(self, manager: Any, error: SwarmError) -> None:  # noqa: ARG002
        """The node is given up, and everybody told at once."""
        self._node.problem = str(error)
        self._reporter.failed(self._node, self._communication.step_)

    def ended(self, manager: Any) -> None:
        """`run` sees to it."""

    def _make_manager(self) -> Any:
        """The game's manager, on our parts.

        Raises:
            UserError: it is built on others.
        """
        place = GamePlace(
            self._communication.get_id(),
            self._config,
            self._communication,
            self._coordinator,
            self,
            self._settings.allowed_modules,
        )
        manager = self._settings.game(place)
        for part, given in (("communication", self._communication), ("recorder", self)):
            if getattr(manager, part, None) is not given:
                raise UserError(
                    f"the game's manager ({type(manager).__name__}) has another {part} than it was given: make a "
                    f"swarm_ray.genrl.SwarmGameManager(..., {part}=place.{part})"
                )
        if manager.max_stage != self._config.stages:
            raise UserError(
                f"the game's manager has {manager.max_stage} stage(s), and the experiment {self._config.stages}: tell "
                f"run_game stages={manager.max_stage}, and take another experiment name"
            )
        return manager

    def _restore(self, disk: Path) -> None:
        """Give the node its trainer's model and optimizer, as its newest checkpoint left them."""
        learner = learner_of(self._manager.trainer)
        restore_nodes(self._restored, [learner], disk, self._experiment, self._config)
        if hasattr(learner, "check_cancelled"):
            learner.check_cancelled = self._cancellation.check
        else:  # GenRL's own tells nothing of its progress, but every pass goes through here
            learner.model.register_forward_hook(lambda *_: self._cancellation.check())
        gc.freeze()  # what the imports left needs no collection

    def _play(self) -> str:
        """Play until the game is over; answers why it was stopped, empty where it was not.

        Raises:
            StopRequested: the worker was told to stop.
        """
        try:
            self._manager.run_game()
        except GameOver as over:
            return over.stopped
        except (StopRequested, Superseded):
            raise
        except SwarmError:
            if not self._node.problem:  # it is not the game that failed
                raise
        return ""

    def _check_played(self) -> None:
        """A node that took part in no round of a game that is over is a failure, and is told."""
        node = self._node
        if not node.problem and node.step == 0:
            node.problem = "it took part in no round: its id is another worker's, or it came too late"
            self._reporter.failed(node, self._communication.step_)

    def _drain(self) -> list[str]:
        return drain_spools(self.nodes, self._state, self._published, self._config.pace.drain_s)

    def _count(self, row: GameRow) -> None:
        """The node's counters after a round, and what its next file tells of it."""
        node, totals = self._node, self._node.totals
        node.round, node.step = row.round, node.step + 1
        self._barren = 0 if row.informative else self._barren + 1
        totals.reward += row.reward
        counters = row.counters
        totals.offered, totals.used = totals.offered + counters.offered, totals.used + counters.used
        totals.rejected += sum(counters.rejected.values())
        totals.generated_tokens += counters.generated_tokens
        self._communication.counted = node.step
        self._communication.telling = PreviousRound(
            row.reward, row.informative, counters.generated_tokens, row.vote, counters
        )

    def _reachable_peers(self) -> list[str]:
        """Multiaddrs of the experiment's nodes that have a direct link, of those that are alive."""
        experiment = self._settings.address.experiment
        return [
            address
            for peer in self._book.discover_peers(experiment=experiment)
            for address in peer.multiaddrs
            if peer.node != self._node.id
        ]


def _gist(problem: str) -> str:
    """A problem without its numbers, which differ from round to round."""
    return re.sub(r"\d+", "0", problem)
