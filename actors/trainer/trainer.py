"""The trainer: owns a device and runs the rounds of the nodes that live on it."""

from __future__ import annotations

import gc
import time
from contextlib import ExitStack
from dataclasses import replace

import msgspec
import torch

from actors.trainer.catching_up import catch_up
from actors.trainer.exchange import build_exchange
from actors.trainer.lifecycle import NodeTrainer
from actors.trainer.restoring import restore_nodes
from actors.trainer.settings import ReportSink, TrainerSettings
from swarm_ray.config.load import config_hash, take_changes
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import StopRequested
from swarm_ray.exchange.folder import FolderExchange
from swarm_ray.exchange.state_follower import NoRound
from swarm_ray.experiments.folder import read_config
from swarm_ray.models.push import hub_pushes
from swarm_ray.policies.loading import load_policies
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.tiny.loading import TinyStart
from swarm_ray.policies.tiny.starts import start_index
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.state import ENDED, ExperimentState, StageOpen
from swarm_ray.sapo.evaluation import Evaluator
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.phases import PhaseClock
from swarm_ray.sapo.round import RoundContext, run_round
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Scorer, Verifier


class Trainer(NodeTrainer):
    """Hosts a list of nodes, each as its newest checkpoint left it; one that fails is marked, and the others go on.

    Args:
        settings: what to train, and where.
        sink: where metrics, events and signs of life go.
    """

    _exchange: FolderExchange

    def __init__(self, settings: TrainerSettings, sink: ReportSink) -> None:
        super().__init__(settings, sink)
        self._phases = PhaseClock(time.perf_counter)
        tasks, allowed = settings.config.tasks, settings.allowed_modules
        with ExitStack() as unless_built:
            self._verifier = unless_built.enter_context(Scorer(tasks, allowed_modules=allowed))
            self._verifier.start()
            self._tasks = TaskSet(tasks, allowed_modules=allowed)
            self._claim()
            unless_built.callback(self._restored.release)
            with self._loading():
                self._restore()
            self._join()
            unless_built.pop_all()

    def _restore(self) -> None:
        """Load the nodes as their newest checkpoints left them, which stop when we are told to."""
        policies = first_policies(self._settings, self._tasks, self._verifier)
        restore_nodes(self._restored, policies, self._disk, self._experiment, self._config)
        gc.freeze()  # the imports leave 300,000 objects that no collection needs to visit
        for node in self.nodes:
            node.policy.check_cancelled = self._cancellation.check
        self._number = max((n.round for n in self.nodes), default=-1)

    def _join(self) -> None:
        """Build what joins the nodes to the swarm, each part on those before it."""
        config = self._config
        self._follow(whole=self._restored.reads_all)
        exchange = build_exchange(
            self._settings, self._experiment, self._state, self._restored, self._tasks, self._verifier
        )
        self._connect(exchange)
        self._round_context = RoundContext(
            config, self._tasks, self._verifier, exchange, self._phases, self._tell_failed
        )
        self._evaluator = Evaluator(self._round_context)
        self._keep_checkpoints(
            hub_pushes(config, self._experiment.name, self.nodes, self._disk / "hub", self._reporter.tell)
        )

    def _take_part(self) -> str:
        """Evaluate, register, catch up, take part in every round, and evaluate again."""
        self._begin()
        self._taken = catch_up(
            self.nodes,
            self._state,
            self._exchange.made,
            self._restored,
            self._reporter,
            lambda nodes, step: self._take_round(nodes, step.round, alone=step.file.alone, replayed=True),
        )
        self._number = max((n.round for n in self.nodes), default=-1)
        while (opened := self._next_round()) is not NoRound.ENDED:
            self._run_opened(opened)
        self._check_not_stopped()
        with self._reporter.busy("evaluating"):
            self._sink.evaluations(self._evaluator.evaluate(self._who_took_part(), "end"))
        return ""

    def _close(self) -> None:
        self._verifier.close()
        super()._close()

    def _begin(self) -> None:
        """Measure nodes that are new, announce all, and begin to tell of them."""
        with self._loading():
            new = [n for n in self.nodes if n.id not in self._restored.found]
            measured = self._evaluator.evaluate(new, "start")
        self._register()
        if self._link is not None:
            self._exchange.restore_values()
        self._sink.evaluations(measured)
        self._reporter.start(self.nodes, lambda node: describe_policy(node.policy, self._config))
        self._phases.take()

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

    def _run_opened(self, opened: StageOpen | NoRound) -> None:
        """Run a round of the swarm, or a step alone."""
        if isinstance(opened, StageOpen):
            self._heed_changes()
            members = {m.node for m in opened.members}
            self._number = opened.round
            self._take_round([n for n in self.nodes if n.id in members], opened.round, alone=False)
            self._taken += 1
        else:
            self._take_round([n for n in self.nodes if not n.problem], max(self._number, 0), alone=True)

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
        self._sink.metrics(rows)
        return rows

    def _tell_failed(self, node: Node) -> None:
        self._reporter.failed(node, self._number)

    def _check_not_stopped(self) -> None:
        """An experiment that was stopped, or failed, is not measured at its end: it may go on."""
        record = self._state.latest
        if record is not None and record.state in {ExperimentState.STOPPED, ExperimentState.FAILED}:
            raise StopRequested(f"the experiment is {record.state}: {record.note}")

    def _who_took_part(self) -> list[Node]:
        """The nodes to evaluate at the end; one that took part in no round is a failure, and is reported."""
        latest = self._state.latest
        if latest is not None and latest.state in {ExperimentState.DRAINING, ExperimentState.FINISHED}:
            self._give_up_idle(self._number)
        return self.nodes


def first_policies(settings: TrainerSettings, tasks: TaskSet, verifier: Verifier) -> list[Policy]:
    """A policy for each node: the embedded model's start, or copies of a Hugging Face model.

    Raises:
        ModelError: the model cannot be loaded, or does not fit so often.
    """
    config = settings.config
    if not config.policy.is_tiny:
        return load_policies(config, len(settings.nodes))
    start = TinyStart(config, tasks, verifier, settings.cache, lambda *_: None)
    return [start.policy(start_index(node)) for node in settings.nodes]


def describe_policy(policy: Policy, config: SwarmConfig) -> str:
    """What a figure of a node with this policy was made on."""
    name = torch.cuda.get_device_name(policy.device) if policy.device.type == "cuda" else "cpu"
    parameters = sum(p.numel() for p in policy.model.parameters())
    return (
        f"{config.policy.model}, {parameters:,} parameters on {name}, {config.policy.dtype}, "
        f"{policy.layout.value} rows, {torch.get_num_threads()} thread(s), seed {config.seed}"
    )
