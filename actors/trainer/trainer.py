"""The trainer: owns a device and runs the rounds of the nodes that live on it."""

from __future__ import annotations

import gc
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import torch

from actors.store_meter import StoreMeter
from actors.trainer.catching_up import catch_up
from actors.trainer.checkpoints import TrainerCheckpoints
from actors.trainer.exchange import build_exchange, describe_policy, drain_spools, first_policies
from actors.trainer.reporter import TrainerReporter, beats_while_loading
from actors.trainer.restoring import claim_nodes, restore_nodes
from actors.trainer.settings import ReportSink, TrainerResult, TrainerSettings
from swarm_ray.config.load import config_hash, take_changes
from swarm_ray.errors import StopRequested, Superseded
from swarm_ray.exchange.state_follower import NoRound, StateFollower
from swarm_ray.experiments.folder import experiment_uid, read_config
from swarm_ray.experiments.local_state import local_folder
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.models.push import hub_pushes
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.state import ENDED, ExperimentState, StageOpen
from swarm_ray.sapo.evaluation import Evaluator
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.phases import PhaseClock
from swarm_ray.sapo.round import RoundContext, run_round
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Scorer

if TYPE_CHECKING:
    from actors.trainer.direct_link import DirectLink

STOP_WITHIN_S = 5.0
"""A trainer that is told to stop takes so long for its last checkpoint, at most."""


class Trainer:
    """Hosts a list of nodes, each as its newest checkpoint left it; one that fails is marked, and the others go on.

    Args:
        settings: what to train, and where.
        sink: where metrics, events and signs of life go.
    """

    def __init__(self, settings: TrainerSettings, sink: ReportSink) -> None:
        torch.set_num_threads(settings.threads)
        self._settings, self._config, self._sink = settings, settings.config, sink
        self._cancellation, self._phases = Cancellation(), PhaseClock(time.perf_counter)
        tasks, allowed = settings.config.tasks, settings.allowed_modules
        self._verifier = Scorer(tasks, allowed_modules=allowed)
        self._verifier.start()
        try:
            self._tasks = TaskSet(tasks, allowed_modules=allowed)
            self._experiment = settings.address.open()
            self._store = self._experiment.store
            self._uid = experiment_uid(self._store, settings.address)
            self._meter = StoreMeter(self._store)
            disk = local_folder(settings.address)
            self._restored = claim_nodes(settings.nodes, disk, self._experiment, settings.identities)
        except BaseException:
            self._verifier.close()
            raise
        try:
            with self._loading():
                self._restore(disk)
            self._join(disk)
        except BaseException:
            self._verifier.close()
            self._restored.release()
            raise

    def _loading(self) -> AbstractContextManager[None]:
        """Beats of the incarnations that our nodes continue, until these are announced."""
        return beats_while_loading(self._sink, self._restored.continued, self._config.pace.beat_s)

    def _restore(self, disk: Path) -> None:
        """Load the nodes as their newest checkpoints left them, which stop when we are told to."""
        policies = first_policies(self._settings, self._tasks, self._verifier)
        restore_nodes(self._restored, policies, disk, self._experiment, self._config)
        gc.freeze()  # the imports leave 300,000 objects that no collection needs to visit
        self.nodes = self._restored.nodes
        for node in self.nodes:
            node.policy.check_cancelled = self._cancellation.check
        self._number = max((n.round for n in self.nodes), default=-1)

    def _join(self, disk: Path) -> None:
        """Build what joins the nodes to the swarm, each part on those before it."""
        config, restored = self._config, self._restored
        sink = self._sink
        self._state = StateFollower(
            self._experiment,
            config.pace,
            self._cancellation,
            after=restored.state_ref,
            whole=restored.reads_all,
            rounds=config.rounds,
        )
        self._state.claim(restored.places)
        parts = build_exchange(
            self._experiment,
            self._uid,
            config,
            self._state,
            restored,
            self._tasks,
            self._verifier,
        )
        self._made, self._exchange = parts.made, parts.exchange
        self._reporter = TrainerReporter(sink, self._state, self._exchange, self._cancellation, self._meter)
        self._round_context = RoundContext(
            config, self._tasks, self._verifier, self._exchange, self._phases, self._tell_failed
        )
        self._link: DirectLink | None = None
        if config.exchange == "hivemind":
            from actors.trainer.direct_link import make_direct_link

            direct = self._exchange.direct
            self._link = make_direct_link(self._settings, restored, self._store, direct, sink, self._reporter)
        self._evaluator = Evaluator(self._round_context)
        self._checkpoints = TrainerCheckpoints(
            disk / "checkpoints",
            self._experiment,
            config,
            self._state,
            self._exchange,
            self._reporter,
            parts.retentions,
            restored.former,
            hub_pushes(config, self._experiment.name, self.nodes, disk / "hub", self._reporter.tell),
        )

    def run(self) -> TrainerResult:
        """See `_run`; the nodes' beats end with it, however it ends."""
        try:
            return self._run()
        finally:
            self._reporter.end()

    def _run(self) -> TrainerResult:
        """Evaluate, register, catch up, take part in every round, evaluate again; a last checkpoint in any case.

        Raises:
            Superseded: another process goes on in the place of a node.
            StoreError: the own disk is full.
        """
        rounds, stopped, left = 0, "", list[str]()
        kept, within_s = self.nodes, STOP_WITHIN_S
        try:
            self._begin()
            rounds = catch_up(
                self.nodes, self._state, self._made, self._restored, self._reporter, self._take_round
            )
            self._number = max((n.round for n in self.nodes), default=-1)
            while (opened := self._next_round()) is not NoRound.ENDED:
                rounds += self._take_part(opened)
            self._check_not_stopped()
            with self._reporter.busy("evaluating"):
                self._reporter.evaluations(self._evaluator.evaluate(self._who_took_part(), "end"))
            self._reporter.published(self.nodes, alone=False, phase="draining")
            left += drain_spools(self.nodes, self._state, self._exchange, self._config.pace.drain_s)
            within_s = self._config.pace.drain_s
        except StopRequested as reason:
            stopped = str(reason)
        except Superseded:
            kept = []  # what another process goes on with is not to be overtaken by ours
            raise
        finally:
            self._verifier.close()
            if self._link is not None:
                self._link.close()
            with self._reporter.busy("checkpointing"):
                left += self._checkpoints.close(kept, within_s)
        return self._farewell(rounds, stopped, left)

    def _begin(self) -> None:
        """Measure nodes that are new, announce all, and begin to tell of them."""
        with self._loading():
            new = [n for n in self.nodes if n.id not in self._restored.found]
            measured = self._evaluator.evaluate(new, "start")
        self._reporter.register(self._restored)
        if self._link is not None:
            self._link.start()
            self._exchange.restore_values()
            self._state.while_waiting(self._link.keep)
        self._reporter.evaluations(measured)
        self._reporter.start(self.nodes, lambda node: describe_policy(node.policy, self._config))
        self._phases.take()

    def stop(self) -> None:
        """End within the next token, pass or look at the folder; harmless when repeated."""
        self._cancellation.cancel()

    def _next_round(self) -> StageOpen | NoRound:
        """Wait for a round in which a node that is well takes part; the end when there will be none."""
        well = {n.id for n in self.nodes if not n.problem}
        if not well:
            return NoRound.ENDED
        while self._exchange.bytes_waiting > self._config.retention.spool_bytes:
            self._reporter.tell_once(
                "spool", "the own disk holds as many unanswered files as it may; waiting"
            )
            self._exchange.retry()
            self._state.poll()
            if self._state.latest is not None and self._state.latest.state in ENDED:
                return NoRound.ENDED
            self._state.pause()
        self._reporter.tell_once("spool", "")
        again = self._config.pace.mode == "async"  # the same round may be taken part in more than once
        return self._state.wait_open(well, self._number - 1 if again else self._number)

    def _heed_changes(self) -> None:
        """Learn with the settings that the state log names: how fast, how long, what is kept.

        Raises:
            ConfigError: they are of another experiment.
        """
        record = self._state.latest
        if record is None or not record.config_hash or record.config_hash == config_hash(self._config):
            return
        stored = read_config(self._store, self._settings.address, record.config_hash)
        self._config = take_changes(self._config, stored)
        self._round_context = replace(self._round_context, config=self._config)
        for node in self.nodes:
            node.policy.use(self._config.grpo)
        self._reporter.tell("settings", f"goes on with configuration {record.config_hash}")

    def _take_part(self, opened: StageOpen | NoRound) -> int:
        """Run a round, or a step alone; answers how many rounds of the swarm that was."""
        if isinstance(opened, StageOpen):
            self._heed_changes()
            members = {m.node for m in opened.members}
            self._number = opened.round
            self._take_round([n for n in self.nodes if n.id in members], opened.round, alone=False)
            return 1
        self._take_round([n for n in self.nodes if not n.problem], max(self._number, 0), alone=True)
        return 0

    def _take_round(
        self, nodes: list[Node], number: int, *, alone: bool, replayed: bool = False
    ) -> list[StepMetrics]:
        """One round: what it made is logged, and kept in a checkpoint when one is due."""
        rows: list[StepMetrics] = []
        try:
            run_round(nodes, number, self._round_context, alone=alone, rows=rows)
            if self._config.slow_down_s and not replayed:
                self._cancellation.pause(self._config.slow_down_s)
            with self._phases.phase("report"):
                self._exchange.retry()
                if self._link is not None:
                    self._link.keep()  # in async pace nobody waits, and nothing else would call it
                self._reporter.published([n for n in nodes if not n.problem], alone=alone)
                self._reporter.tell_standing(alone=any(row.alone for row in rows))
        finally:  # a round that is stopped, or fails, leaves steps that some nodes have taken
            rows = self._log(rows, replayed=replayed)
        if any(row.alone for row in rows) and not replayed:
            self._state.alone_left -= 1
        with self._phases.phase("checkpoint"):
            self._checkpoints.after_round(self.nodes, number)
        return rows

    def _log(self, rows: list[StepMetrics], *, replayed: bool) -> list[StepMetrics]:
        """Say what was learned, and keep it for the next checkpoint: nobody else has it."""
        seconds = {phase: s / max(1, len(rows)) for phase, s in self._phases.take().items()}
        rows = [msgspec.structs.replace(row, seconds=seconds, replayed=replayed) for row in rows]
        if rows and not replayed:  # a row that was logged before is not logged again, and its counts would go
            rows[0].store = self._meter.since_last()
        self._checkpoints.hold(rows)
        self._reporter.metrics(rows)
        return rows

    def _tell_failed(self, node: Node) -> None:
        self._reporter.failed(node, self._number)

    def _check_not_stopped(self) -> None:
        """An experiment that was stopped, or failed, is not measured at its end: it may go on."""
        record = self._state.latest
        if record is not None and record.state in {ExperimentState.STOPPED, ExperimentState.FAILED}:
            raise StopRequested(f"the experiment is {record.state}: {record.note}")

    def _who_took_part(self) -> list[Node]:
        """The nodes to evaluate at the end; one that took part in no round is a failure, and is told."""
        latest = self._state.latest
        over = latest is not None and latest.state in {ExperimentState.DRAINING, ExperimentState.FINISHED}
        for node in self.nodes:
            if over and not node.problem and node.step == 0:
                node.problem = "it took part in no round: its id is another worker's, or it came too late"
                self._tell_failed(node)
        return self.nodes

    def _farewell(self, rounds: int, stopped: str, left: list[str]) -> TrainerResult:
        for line in left:
            self._reporter.tell("left", line)
        self._reporter.farewell(self.nodes, done=not stopped)
        self._restored.release()
        return TrainerResult(rounds, {n.id: n.problem for n in self.nodes if n.problem}, stopped, tuple(left))
