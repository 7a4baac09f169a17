"""The trainer: owns a device and runs the rounds of the nodes that live on it."""

from __future__ import annotations

import gc
import time
from contextlib import ExitStack
from dataclasses import replace

import msgspec
import torch

from actors.logger.logger import evaluation_events
from actors.trainer.checkpoints import catch_up, repeat_steps
from actors.trainer.lifecycle import NodeTrainer
from actors.trainer.restoring import restore_nodes
from actors.trainer.settings import ReportSink, TrainerSettings
from swarm_ray.config.load import config_hash, take_changes
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import StopRequested
from swarm_ray.exchange.folder import FolderExchange
from swarm_ray.exchange.replay import PublishedStep, StepReplay
from swarm_ray.exchange.state_follower import NoRound
from swarm_ray.experiments.folder import read_config
from swarm_ray.models.push import HubPushes
from swarm_ray.policies.loading import load_policies
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.tiny.loading import TinyStart
from swarm_ray.policies.tiny.starts import start_index
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.state import ENDED, ExperimentState, StageOpen
from swarm_ray.sapo.evaluation import evaluate
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.phases import PhaseClock
from swarm_ray.sapo.round import RoundContext, run_round
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Scorer, Verifier


class Trainer(NodeTrainer):
    """Hosts a list of nodes, each restored from its newest checkpoint; one that fails does not stop the others.

    Args:
        settings: what to train, and where.
        sink: takes metrics, events and heartbeats.
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
        """Restore the nodes from their newest checkpoints, and let them check for cancellation."""
        policies = first_policies(self._settings, self._tasks, self._verifier)
        restore_nodes(
            self._restored, policies, self._disk, self._experiment, self._config.policy, self._config.resume
        )
        gc.freeze()  # the imports leave 300,000 objects that no collection needs to visit
        for node in self.nodes:
            node.policy.check_cancelled = self._cancellation.check
        self._number = max((n.round for n in self.nodes), default=-1)

    def _join(self) -> None:
        """Build the parts that connect the nodes to the swarm."""
        config = self._config
        self._follow(whole=self._restored.reads_all)
        pace, spools = config.pace, self._spools()
        made = StepReplay(self._experiment, self._state, spools, self._tasks, self._verifier)
        direct = self._direct_values(staleness=pace.staleness, again=pace.mode == "async")
        exchange = FolderExchange(self._experiment, self._state, pace, spools, made, direct)
        self._connect(exchange)
        self._round_context = RoundContext(
            config,
            self._tasks,
            self._verifier,
            exchange,
            self._phases,
            lambda node: self._reporter.failed(node, self._number),
        )
        about = (self._experiment.name, self.nodes, self._disk / "hub", self._reporter.tell)
        self._keep_checkpoints(HubPushes(config, *about) if config.hub.repository else None)

    def _take_part(self) -> str:
        """Evaluate, register, catch up, take part in every round, and evaluate again."""
        self._begin()
        made = self._exchange.made
        self._taken = catch_up(
            self.nodes, self._state, made, self._restored, self._reporter, self._take_again
        )
        self._number = max((n.round for n in self.nodes), default=-1)
        opened = self._next_round()
        # The round of an adopted file may have closed since, and the next have opened.
        self._taken += repeat_steps(self.nodes, made, self._take_again)[0]
        while opened is not NoRound.ENDED:
            self._run_opened(opened)
            opened = self._next_round()
        record = self._state.latest
        if record is not None and record.cut_short:  # no final evaluation: it may be resumed
            raise StopRequested(record.cut_short)
        if record is not None and record.state in {ExperimentState.DRAINING, ExperimentState.FINISHED}:
            self._give_up_idle(self._number)
        with self._reporter.busy("evaluating"):
            self._sink.events(evaluation_events(evaluate(self.nodes, "end", self._round_context)))
        return ""

    def _close(self) -> None:
        self._verifier.close()
        super()._close()

    def _begin(self) -> None:
        """Evaluate new nodes, register all, and begin to report."""
        with self._loading():
            new = [n for n in self.nodes if n.id not in self._restored.found]
            measured = evaluate(new, "start", self._round_context)
        self._register()
        if self._link is not None:
            self._exchange.restore_values()
        self._sink.events(evaluation_events(measured))
        self._reporter.start(self.nodes, lambda node: describe_policy(node.policy, self._config))
        self._phases.take()

    def _next_round(self) -> StageOpen | NoRound:
        """Wait for a round in which a healthy node takes part, or for the end."""
        healthy = {n.id for n in self.nodes if not n.problem}
        if not healthy:
            return NoRound.ENDED
        while self._exchange.bytes_waiting > self._config.retention.spool_bytes:
            self._reporter.tell_once(
                "spool", "the spool of unanswered files is full (retention.spool_bytes); waiting"
            )
            self._exchange.retry()
            self._state.poll()
            if self._state.latest is not None and self._state.latest.state in ENDED:
                return NoRound.ENDED
            self._state.pause()
        self._reporter.tell_once("spool", "")
        again = self._config.pace.mode == "async"  # the same round may be taken part in more than once
        return self._state.wait_open(healthy, self._number - 1 if again else self._number)

    def _apply_changes(self) -> None:
        """Apply changed settings that the state log names: learning rate, rounds, retention.

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
        self._reporter.tell("settings", f"continues with configuration {record.config_hash}")

    def _run_opened(self, opened: StageOpen | NoRound) -> None:
        """Run a round of the swarm, or a step alone."""
        if isinstance(opened, StageOpen):
            self._apply_changes()
            members = {m.node for m in opened.members}
            self._number = opened.round
            self._take_round([n for n in self.nodes if n.id in members], opened.round, alone=False)
            self._taken += 1
        else:
            self._take_round([n for n in self.nodes if not n.problem], max(self._number, 0), alone=True)

    def _take_again(self, nodes: list[Node], step: PublishedStep) -> list[StepMetrics]:
        """Run the round of a step that an earlier process made."""
        return self._take_round(nodes, step.round, alone=step.file.alone, replayed=True)

    def _take_round(
        self, nodes: list[Node], number: int, *, alone: bool, replayed: bool = False
    ) -> list[StepMetrics]:
        """Run one round, log it, and take a checkpoint when one is due."""
        rows: list[StepMetrics] = []
        try:
            run_round(nodes, number, self._round_context, alone=alone, rows=rows)
            if self._config.slow_down_s and not replayed:
                self._cancellation.pause(self._config.slow_down_s)
            with self._phases.phase("report"):
                self._exchange.retry()
                if self._link is not None:
                    self._link.keep()  # in async pace nothing else would call it
                self._reporter.published([n for n in nodes if not n.problem], alone=alone)
                self._reporter.tell_connection(alone=any(row.alone for row in rows))
        finally:  # a stopped or failed round leaves steps that some nodes have taken
            rows = self._log(rows, replayed=replayed)
        if any(row.alone for row in rows) and not replayed:
            self._state.alone_left -= 1
        with self._phases.phase("checkpoint"):
            self._checkpoints.after_round(self.nodes, number)
        return rows

    def _log(self, rows: list[StepMetrics], *, replayed: bool) -> list[StepMetrics]:
        """Log rows, and hold them for the next checkpoint."""
        seconds = {phase: s / max(1, len(rows)) for phase, s in self._phases.take().items()}
        rows = [msgspec.structs.replace(row, seconds=seconds, replayed=replayed) for row in rows]
        if rows and not replayed:  # a repeated row is not logged again, and its counts would be lost
            rows[0].store = self._meter.since_last()
        self._checkpoints.hold(rows)
        self._sink.metrics(rows)
        return rows


def first_policies(settings: TrainerSettings, tasks: TaskSet, verifier: Verifier) -> list[Policy]:
    """A policy for each node: the embedded model's start, or copies of a Hugging Face model.

    Raises:
        ModelError: the model cannot be loaded, or the device has no room for all nodes.
    """
    config = settings.config
    if not config.policy.is_tiny:
        return load_policies(config, len(settings.nodes))
    start = TinyStart(config.policy, tasks, verifier, settings.cache, lambda *_: None)
    policies = [start.policy(start_index(node)) for node in settings.nodes]
    for policy in policies:
        policy.use(config.grpo)
    return policies


def describe_policy(policy: Policy, config: SwarmConfig) -> str:
    """Describes the policy and hardware behind a node's figures."""
    name = torch.cuda.get_device_name(policy.device) if policy.device.type == "cuda" else "cpu"
    parameters = sum(p.numel() for p in policy.model.parameters())
    return (
        f"{config.policy.model}, {parameters:,} parameters on {name}, {config.policy.dtype}, "
        f"{policy.layout.value} rows, {torch.get_num_threads()} thread(s), seed {config.seed}"
    )
