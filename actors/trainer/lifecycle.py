"""What every trainer does: claim its nodes, register them, drain, take a final checkpoint, and report its end."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch

from actors.store_meter import StoreMeter
from actors.trainer.checkpoints import TrainerCheckpoints
from actors.trainer.exchange import DirectLink
from actors.trainer.reporter import TrainerContext, TrainerReporter, beats_while_loading
from actors.trainer.restoring import Restored, claim_nodes
from actors.trainer.settings import ReportSink, TrainerResult, TrainerSettings
from swarm_ray.errors import StopRequested, Superseded
from swarm_ray.exchange.outbox import Outbox
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.experiments.folder import local_folder
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.models.push import HubPushes
from swarm_ray.records.state import ENDED
from swarm_ray.sapo.node import Node

STOP_WITHIN_S = 5.0
"""Time limit of the final checkpoint of a trainer that was asked to stop."""


class NodeTrainer(ABC):
    """A trainer from its first heartbeat to its last; a subclass defines what it takes part in.

    A subclass restores `nodes` and calls `_follow`, `_connect` and `_keep_checkpoints` before `run`.

    Args:
        settings: what to train, and where.
        sink: where metrics, events and heartbeats go.
    """

    _restored: Restored
    _exchange: Outbox

    def __init__(self, settings: TrainerSettings, sink: ReportSink) -> None:
        torch.set_num_threads(settings.threads)
        self._settings, self._config, self._sink = settings, settings.config, sink
        self._cancellation = Cancellation()
        self._experiment = settings.address.open()
        self._store = self._experiment.store
        self._meter = StoreMeter(self._store)
        self._disk = local_folder(settings.address)
        self._taken = 0
        """Rounds of the swarm that the nodes took part in."""

    @property
    def nodes(self) -> list[Node]:
        """The nodes, as restored and as trained since."""
        return self._restored.nodes

    def run(self) -> TrainerResult:
        """Take part until nothing is left to do; always takes a final checkpoint.

        Raises:
            Superseded: another process continues one of the nodes.
            StoreError: this machine's disk is full.
        """
        try:
            return self._result(*self._live())
        finally:
            self._reporter.end()

    def stop(self) -> None:
        """Stop within the next token, pass or poll of the folder; harmless when repeated."""
        self._cancellation.cancel()

    @abstractmethod
    def _take_part(self) -> str:
        """Register the nodes and take part to the end; answers why it was stopped, empty if it was not."""

    def _learned_nothing(self) -> bool:
        """Whether no group had an advantage in the node's last rounds, if this trainer counts that."""
        return False

    def _claim(self) -> None:
        """Lock the nodes on this machine."""
        settings = self._settings
        self._restored = claim_nodes(settings.nodes, self._disk, self._experiment, settings.identities)

    def _loading(self) -> AbstractContextManager[None]:
        """Heartbeats of the incarnations that our nodes continue, until ours are announced."""
        return beats_while_loading(self._sink, self._restored.continued, self._config.pace.beat_s)

    def _follow(self, *, whole: bool = False) -> None:
        """Follow the state log from the oldest checkpoint on, or from its first record."""
        self._state = StateFollower(
            self._experiment,
            self._config.pace,
            self._cancellation,
            after=self._restored.state_ref,
            whole=whole,
            rounds=self._config.rounds,
        )
        self._state.claim(self._restored.places)

    def _connect(self, exchange: Outbox) -> None:
        """Report what the exchange does, and link the nodes directly where that is asked for."""
        self._exchange = exchange
        self._reporter = TrainerReporter(self._sink, self._state, exchange, self._cancellation, self._meter)
        self._context = TrainerContext(self._experiment, self._config, self._state, exchange, self._reporter)
        self._link: DirectLink | None = None
        if self._config.exchange == "hivemind":
            self._link = DirectLink(
                self._settings, self._restored, self._store, exchange.direct, self._sink, self._reporter
            )

    def _keep_checkpoints(self, pushes: HubPushes | None = None) -> None:
        """Set up checkpoints, and pushes to the Hub if there are any."""
        self._checkpoints = TrainerCheckpoints(
            self._disk / "checkpoints",
            self._context,
            self._restored,
            pushes,
        )

    def _register(self) -> None:
        """Register the nodes, and announce how they are reached directly."""
        self._reporter.register(self._restored)
        if self._link is not None:
            self._link.start()
            self._state.while_waiting(self._link.keep)

    def _live(self) -> tuple[str, list[str]]:
        """Take part, drain and close; answers why it was stopped, and what is not safe."""
        stopped, left, kept, within_s = "", list[str](), self.nodes, STOP_WITHIN_S
        try:
            stopped = self._take_part()
            if not stopped:
                self._reporter.published(self.nodes, alone=False, phase="draining")
                left += self._drain()
                within_s = self._config.pace.drain_s
        except StopRequested as reason:
            stopped = str(reason)
        except Superseded:
            kept = []  # ours must not overtake what another process continues
            raise
        finally:
            self._close()
            with self._reporter.busy("checkpointing"):
                left += self._checkpoints.close(kept, within_s)
        return stopped, left

    def _close(self) -> None:
        """End what needs no folder."""
        if self._link is not None:
            self._link.close()

    def _drain(self) -> list[str]:
        """Wait until published files are answered; returns a line for each node with unanswered files.

        Raises:
            StopRequested: the worker was asked to stop; remaining files stay in the spools for the next process.
        """
        state, exchange = self._state, self._exchange
        deadline = time.monotonic() + self._config.pace.drain_s
        while any(exchange.unanswered(node.id) for node in self.nodes) and time.monotonic() < deadline:
            ended = state.latest is not None and state.latest.state in ENDED
            if ended and not state.poll():
                break
            state.poll()
            exchange.retry()
            state.pause()
        return [
            f"{node}: rounds {', '.join(map(str, rounds))} were published and never answered"
            for node, rounds in exchange.give_up().items()
        ]

    def _give_up_idle(self, number: int) -> None:
        """Mark nodes that took part in no round of a finished experiment as failed."""
        for node in self.nodes:
            if not node.problem and node.step == 0:
                node.problem = "it took part in no round: its id is another worker's, or it came too late"
                self._reporter.failed(node, number)

    def _result(self, stopped: str, left: Sequence[str]) -> TrainerResult:
        for line in left:
            self._reporter.tell("left", line)
        self._reporter.final_heartbeat(self.nodes, done=not stopped)
        self._restored.release()
        problems = {node.id: node.problem for node in self.nodes if node.problem}
        return TrainerResult(self._taken, problems, stopped, tuple(left), self._learned_nothing())
