"""The trainer of a GenRL game: one node with its game manager."""

from __future__ import annotations

import gc
import re
from typing import Any

import torch

from actors.trainer.game_rounds import GameOver, GameRounds
from actors.trainer.lifecycle import NodeTrainer
from actors.trainer.restoring import restore_nodes
from actors.trainer.settings import ReportSink, TrainerSettings
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.discovery import PeerBook
from swarm_ray.errors import StopRequested, Superseded, SwarmError, UserError
from swarm_ray.exchange.folder import Outbox
from swarm_ray.genrl.communication import GameCommunication, GameCoordinator
from swarm_ray.genrl.gathering import CoordinatedGathering, DeadlineGathering, Gathering
from swarm_ray.genrl.recorder import GamePlace, GameRecorder, GameRow, step_metrics
from swarm_ray.records.state import Member


class GameTrainer(NodeTrainer, GameRecorder):
    """Plays a game as one node, and is its manager's recorder: it checkpoints, reports and resumes.

    Args:
        settings: what to play, and where; `game` makes the manager.
        sink: takes metrics, events and heartbeats.

    Raises:
        UserError: there is not exactly one node, or the manager is not built on what it was given.
    """

    def __init__(self, settings: TrainerSettings, sink: ReportSink) -> None:
        if len(settings.nodes) != 1:
            raise UserError("a game has one trainer for each node: set trainers to the number of nodes")
        super().__init__(settings, sink)
        self._communication = GameCommunication(settings.nodes[0])
        self._book = PeerBook(self._store, ttl_s=settings.config.pace.dead_after_s)
        self._coordinator = GameCoordinator(
            self._communication, lambda: self._rounds.opened, self._reachable_peers
        )
        self._claim()
        try:
            with self._loading():
                self._manager = self._make_manager()
                self._restore()
        except BaseException:
            self._restored.release()
            raise
        self._manager.failures_tolerated = settings.config.supervision.data_failures
        (self._node,) = self.nodes
        self._communication.counted = self._node.step
        self._told: set[str] = set()
        self._join()

    def _join(self) -> None:
        """Connect the node to the swarm, and attach the transport of its payloads."""
        config, node, experiment = self._config, self._node, self._experiment
        self._follow()
        me = Member(node.id, node.incarnation)
        by_deadline = DeadlineGathering(experiment, me, config.pace, self._cancellation, config.rounds)
        gathering: Gathering = by_deadline
        direct = self._direct_values(staleness=0)  # one that arrives after its stage is useless
        published, spool = Outbox(experiment, self._state, {}, direct), None
        if self._settings.coordinated:
            spool = self._spools()[node.id]
            gathering = published = CoordinatedGathering(
                self._state, spool, config.stages, direct, by_deadline
            )
        self._communication.attach(gathering)
        self._connect(published)
        self._keep_checkpoints()
        former = self._restored.former[node.id]
        self._rounds = GameRounds(node, former, self._context, spool, gathering.peers)

    def first_round(self) -> int:
        """The round to begin with; see `GameRecorder`."""
        number = self._rounds.first(self._manager)
        self._communication.counted = self._node.step  # lost steps count, too
        return number

    def restore(self, manager: Any) -> None:
        """Nothing to load: the trainer has its checkpoint already, and the experiment sets the number of rounds."""
        manager.max_round = self._config.rounds

    def round_ended(self, manager: Any, row: GameRow) -> None:
        """Count, report and checkpoint a round; then wait for the next, skipping those that closed without us.

        Raises:
            StopRequested: no round is left, or the worker was asked to stop.
        """
        node, alone = self._node, self._rounds.alone
        with manager.phases.phase("report"):
            metrics = step_metrics(row, node.id, node.incarnation, step=node.step, alone=alone)
            metrics.store = self._meter.since_last()
            self._count(row)
            self._checkpoints.hold([metrics])
            self._sink.metrics([metrics])
            for problem in row.problems:
                if _without_numbers(problem) not in self._told:  # a lasting problem is reported once
                    self._reporter.tell("game", problem, node.id, row.round)
            self._told = {_without_numbers(problem) for problem in row.problems}
            if self._link is not None:
                self._link.keep()
            # Without a coordinator only heartbeats show peers our progress.
            self._reporter.published(self.nodes, alone=alone or not self._settings.coordinated)
            self._reporter.tell_connection(alone=alone)
        with manager.phases.phase("checkpoint"):
            self._checkpoints.after_round(self.nodes, row.round)
        if self._config.slow_down_s:
            self._cancellation.pause(self._config.slow_down_s)
        with manager.phases.phase("wait"):
            self._rounds.go_on(manager, row.round)

    def failed(self, manager: Any, error: SwarmError) -> None:  # noqa: ARG002
        """Give the node up, and report it at once."""
        self._node.problem = str(error)
        self._reporter.failed(self._node, self._communication.step_)

    def _make_manager(self) -> Any:
        """The game's manager, built on the parts it was given.

        Raises:
            UserError: it is built on other parts.
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

    def _restore(self) -> None:
        """Give the node its trainer's model and optimizer, restored from its newest checkpoint."""
        learner = learner_of(self._manager.trainer)
        config = self._config
        restore_nodes(self._restored, [learner], self._disk, self._experiment, config.policy, config.resume)
        if hasattr(learner, "check_cancelled"):
            learner.check_cancelled = self._cancellation.check
        else:  # GenRL's own trainer reports no progress, but every pass goes through here
            learner.model.register_forward_hook(lambda *_: self._cancellation.check())
        gc.freeze()  # objects left by imports need no collection

    def _take_part(self) -> str:
        """Register and play until the game is over."""
        self._register()
        self._reporter.start(self.nodes, lambda _: describe_learner(self._manager.trainer, self._config))
        try:
            self._manager.run_game()
        except GameOver as over:
            if str(over):
                raise
        except (StopRequested, Superseded):
            raise
        except SwarmError:
            if not self._node.problem:  # the game itself did not fail
                raise
        self._give_up_idle(self._communication.step_)
        return ""

    def _count(self, row: GameRow) -> None:
        """Update the node's counters after a round, and what its next file reports."""
        node, totals = self._node, self._node.totals
        node.round, node.step = row.round, node.step + 1
        self._taken += 1
        self._barren = 0 if row.informative else self._barren + 1
        totals.reward += row.reward
        counters = row.counters
        totals.count(counters)
        totals.generated_tokens += counters.generated_tokens
        self._communication.counted = node.step
        self._communication.tell(
            reward=row.reward,
            informative=row.informative,
            generated_tokens=counters.generated_tokens,
            vote=row.vote,
            previous=counters,
        )

    def _reachable_peers(self) -> list[str]:
        """Multiaddrs of living nodes of the experiment that have a direct link."""
        experiment = self._settings.address.experiment
        return [
            address
            for peer in self._book.discover_peers(experiment=experiment)
            for address in peer.multiaddrs
            if peer.node != self._node.id
        ]


def _without_numbers(problem: str) -> str:
    """A problem without its numbers, which differ between rounds."""
    return re.sub(r"\d+", "0", problem)


def learner_of(trainer: Any) -> Any:
    """The object with the model and the optimizer: our policy, or GenRL's trainer itself.

    Raises:
        UserError: neither is there.
    """
    learner = getattr(trainer, "policy", trainer)
    if not (hasattr(learner, "model") and hasattr(learner, "optimizer")):
        raise UserError(
            f"the game's trainer ({type(trainer).__name__}) has no policy, and no model and optimizer: nothing of what "
            "it learns could be kept. Give it these two attributes"
        )
    return learner


def describe_learner(trainer: Any, config: SwarmConfig) -> str:
    """Describes the trainer and hardware behind the figures of a game's node."""
    parameters = sum(p.numel() for p in learner_of(trainer).model.parameters())
    return (
        f"{config.game}: {type(trainer).__name__}, {parameters:,} parameters, "
        f"{torch.get_num_threads()} thread(s), seed {config.seed}"
    )
