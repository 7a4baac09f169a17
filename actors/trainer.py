"""The trainer: owns a device and runs the rounds of the nodes that live on it."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable

import msgspec
import torch

from actors.trainer_settings import Reporter, TrainerResult, TrainerSettings
from drive_store import new_incarnation
from swarm_ray.errors import StopRequested
from swarm_ray.exchange.folder import FolderExchange
from swarm_ray.exchange.swarm_state import SwarmState
from swarm_ray.policies.pool import load_policies
from swarm_ray.policies.tiny_start import TinyStart, start_index
from swarm_ray.records import Beat, Evaluation, Event, Member, StageOpen
from swarm_ray.sapo.evaluation import overall, pass_at_1
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.phases import PhaseClock
from swarm_ray.sapo.round import Surroundings, each, run_round
from swarm_ray.sapo.streams import derive_seed
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Scorer

EVALUATION_STEP = 0
"""Evaluations draw from streams of their own, the same at every evaluation of a node."""


class Trainer:
    """Hosts a list of nodes; one that fails is marked, and the others go on.

    Args:
        settings: what to train, and where.
        reporter: where metrics, events and signs of life go.
    """

    def __init__(self, settings: TrainerSettings, reporter: Reporter) -> None:
        torch.set_num_threads(settings.threads)
        gc.freeze()  # the imports leave 300,000 objects that no collection needs to visit
        self._settings, self._reporter = settings, reporter
        self._config = config = settings.config
        self._stop = threading.Event()
        self._phases = PhaseClock(time.perf_counter)
        self._verifier = Scorer(config.tasks, allowed_modules=settings.allowed_modules)
        self._verifier.start()
        self._tasks = TaskSet(config.tasks, allowed_modules=settings.allowed_modules)
        self._held_out = (
            self._tasks.held_out(config.evaluation.questions) if config.evaluation.questions else {}
        )
        store = settings.address.open()
        self._state = SwarmState(store, settings.address.paths, config.pace, self._stop)
        self._around = Surroundings(
            config,
            self._tasks,
            self._verifier,
            FolderExchange(store, settings.address.paths, self._state, config.pace),
            self._phases,
            self._tell_lost,
        )
        self._number = -1
        self.nodes = self._load_nodes()

    def run(self) -> TrainerResult:
        """Evaluate, register, take part in every round, evaluate again.

        Raises:
            StoreError: the folder is lost, full or not writable.
            SwarmStateError: the coordinator fell silent.
        """
        rounds, stopped = 0, ""
        try:
            self._evaluate("start", lost=lambda _: None)  # told once they are registered
            self._reporter.register([Member(n.id, n.incarnation) for n in self.nodes])
            for node in self.nodes:
                if node.problem:
                    self._tell_lost(node)
            self._report_evaluations()
            self._reporter.events([Event("started", self._described(n), n.id) for n in self.nodes])
            self._phases.take()
            while opened := self._next_round():
                members = {m.node for m in opened.members}
                self._number = opened.round
                self._round([n for n in self.nodes if n.id in members])
                rounds += 1
            self._check_took_part()
            self._evaluate("end", lost=self._tell_lost)
            self._report_evaluations()
        except StopRequested as reason:
            stopped = str(reason)
        finally:
            self._verifier.close()
        self._reporter.flush()
        self._beat(self.nodes, "ended", done=not stopped)
        self._reporter.flush()
        return TrainerResult(rounds, {n.id: n.problem for n in self.nodes if n.problem}, stopped)

    def _next_round(self) -> StageOpen | None:
        """Wait for a round in which a node that is well takes part; None when there will be none."""
        well = {n.id for n in self.nodes if not n.problem}
        return self._state.wait_open(well, self._number) if well else None

    def _check_took_part(self) -> None:
        """Mark nodes that no round of a whole experiment had as members: that is no success."""
        latest = self._state.latest
        if latest is None or latest.state not in {"draining", "finished"}:
            return
        for node in self.nodes:
            if not node.problem and node.step == 0:
                node.problem = "it took part in no round: its id is another worker's, or it came too late"
                self._tell_lost(node)

    def stop(self) -> None:
        """End at the next wait; harmless when repeated."""
        self._stop.set()

    def _round(self, nodes: list[Node]) -> None:
        rows = run_round(nodes, self._number, self._around)
        if self._config.slow_down_s:
            self._stop.wait(self._config.slow_down_s)
        with self._phases.phase("report"):
            self._beat([n for n in nodes if not n.problem], "training", published=True)
        seconds = {phase: s / max(1, len(rows)) for phase, s in self._phases.take().items()}
        self._reporter.metrics([msgspec.structs.replace(row, seconds=seconds) for row in rows])

    def _beat(self, nodes: list[Node], phase: str, *, published: bool = False, done: bool = False) -> None:
        beats = [(n.id, Beat(0, self._number, n.step, phase, n.totals, n.problem, done)) for n in nodes]
        self._reporter.beat(beats, published=published)

    def _tell_lost(self, node: Node) -> None:
        """Say at once that a node was given up, so that nobody waits for its file."""
        self._reporter.events([Event("node-failed", str(node.problem), node.id, self._number)])
        self._beat([node], "failed")

    def _described(self, node: Node) -> str:
        """What a figure of this node was made on."""
        policy, config = node.policy, self._config
        name = torch.cuda.get_device_name(policy.device) if policy.device.type == "cuda" else "cpu"
        parameters = sum(p.numel() for p in policy.model.parameters())
        return (
            f"{config.policy.model}, {parameters:,} parameters on {name}, {config.policy.dtype}, "
            f"{policy.layout.value} rows, {torch.get_num_threads()} thread(s), seed {config.seed}"
        )

    def _load_nodes(self) -> list[Node]:
        config, settings = self._config, self._settings
        if config.policy.is_tiny:
            start = TinyStart(config, self._tasks, self._verifier, settings.cache, lambda *_: None)
            policies = [start.policy(start_index(node)) for node in settings.nodes]
        else:
            policies = load_policies(config, len(settings.nodes))
        return [
            Node(name, new_incarnation(), policy)
            for name, policy in zip(settings.nodes, policies, strict=True)
        ]

    def _evaluate(self, when: str, lost: Callable[[Node], None]) -> None:
        """Measure held-out pass@1 of every node that is well."""
        found = each(self.nodes, lambda node: self._evaluation(node, when), lost)
        self._measured = list(found.values())

    def _evaluation(self, node: Node, when: str) -> Evaluation:
        config, held_out = self._config.evaluation, self._held_out
        seed = derive_seed(self._config.seed, node.id, EVALUATION_STEP, "evaluation")
        passed = pass_at_1(node.policy, held_out, config.samples, config.threshold, self._verifier, seed)
        mean = overall(passed, held_out)
        if when == "start":
            node.totals.pass_at_1_start = mean
        else:
            node.totals.pass_at_1_end = mean
        asked = {specialty: len(questions) for specialty, questions in held_out.items()}
        return Evaluation(node.id, when, mean, passed, asked)

    def _report_evaluations(self) -> None:
        self._reporter.evaluations(self._measured)
