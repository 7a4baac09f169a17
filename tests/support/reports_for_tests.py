"""Writes experiments that have all a report shows: round files, rows, events, beats, store use."""

import math
import random
from pathlib import Path

import msgspec
from experiments_for_tests import FakeExperiment, closed_stage, incarnation_of, metrics_row

from drive_store import Publication, publish_round_file
from swarm_ray.config.load import load_config
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.observe.report.evidence import Evidence, read_evidence
from swarm_ray.records.metrics import Evaluation, Event
from swarm_ray.records.nodes import StoreUse
from swarm_ray.records.rollouts import Completion, Rollout, RoundFile, StepCounters
from swarm_ray.records.state import FileRef
from swarm_ray.tasks.questions import TaskSet

SPECIALTIES = "tasks.specialties=[{name: lcm}, {name: gcd}]"
HOSTILE = "<script>alert(1)</script></style></details>\x1b[31m\u202eabc\x00 {{ names }} $x^2$ "
HOSTILE += 300 * "long "


def config_of(*overrides: str) -> SwarmConfig:
    """A small swarm of two specialties."""
    return load_config(overrides=["nodes=3", "rounds=24", SPECIALTIES, *overrides])


def evidence_of(experiment: FakeExperiment) -> Evidence:
    """What a report knows of it."""
    return read_evidence(open_experiment(str(experiment.root), experiment.name))


class FullExperiment(FakeExperiment):
    """An experiment of two specialties whose round files and logs are there; `text` is that of every completion."""

    def __init__(
        self,
        root: Path,
        name: str,
        config: SwarmConfig,
        rising: float = 0.02,
        text: str = "12",
        seed: int = 0,
    ) -> None:
        super().__init__(root, name, config)
        self.nodes = [f"node-{i}" for i in range(config.nodes)]
        self._rising, self._text, self._stream = rising, text, random.Random(seed)
        self._tasks = TaskSet(config.tasks)
        self.register(*self.nodes)
        self.rewards.update({node: [] for node in self.nodes})
        self.append("running", opens=self.opens(0, self.nodes))

    def run(self, rounds: int, *, files: bool = True) -> None:
        """Close so many rounds and log them."""
        for number in range(rounds):
            refs = tuple(self._publish(node, number) for node in self.nodes) if files else ()
            rewards = {node: self._reward(number) for node in self.nodes}
            for node, reward in rewards.items():
                self.rewards[node].append(reward)
            use = StoreUse({"lists": 3}, 10, 20)
            closed = closed_stage(number, rewards, accepted=refs, seconds=0.5, store=use)
            opens = self.opens(number + 1, self.nodes) if number + 1 < self.config.rounds else None
            self.append("running", number=number, closed=closed, opens=opens)
        for place, node in enumerate(self.nodes):
            rows = [self._row(node, place, number) for number in range(rounds)]
            if rows:
                self.log_rows(node, rows)

    def log_evaluations(self, start: float, end: float, *others: Event) -> None:
        """Log held-out pass@1 of every node, and what else happened to it."""
        for node in self.nodes:
            told = []
            for when, share in (("start", start), ("end", end)):
                shares = {"lcm": share, "gcd": share, "<script>": 1.0}
                found = Evaluation(node, when, share, shares, {"lcm": 40, "gcd": 40})
                told.append(Event("evaluation", msgspec.json.encode(found).decode(), node))
            self.log_lines(node, "events", [*told, *others])

    def _publish(self, node: str, number: int) -> FileRef:
        question = self._tasks.draw(random.Random(f"{node}/{number}"), 1)[0]
        completions = tuple(Completion(self._text, 1.0 if k == 0 else 0.0, k != 1) for k in range(3))
        file = RoundFile(number, (Rollout(question.ref, completions),), 1 / 3, 1, 9)
        life, payload = incarnation_of(node), msgspec.msgpack.encode(file)
        told = Publication(node=node, incarnation=life, round=number, stage=0, payload=payload)
        published = publish_round_file(self.opened, told)
        return FileRef(node, life, published.key, published.sha256, published.size, number)

    def _reward(self, number: int) -> float:
        wanted = 0.1 + self._rising * number + self._stream.uniform(-0.05, 0.05)
        return math.fsum((min(1.0, max(0.0, wanted)),))

    def _row(self, node: str, place: int, number: int) -> object:
        others = [other for other in self.nodes if other != node] if self.config.external else []
        use = StoreUse({"creates": 1, "reads": 2}, 100, 50) if place == 0 else None
        count, used_from = len(others), dict.fromkeys(others, 1)
        counters = StepCounters(2 * count, count, used_from=used_from, rejected={"other text": 1})
        row = metrics_row(node, number)
        return msgspec.structs.replace(row, external=count, counters=counters, store=use)


def full(
    root: Path, name: str, config: SwarmConfig, *, rising: float = 0.02, text: str = "12"
) -> FullExperiment:
    """A whole run, with its evaluations, that has ended."""
    experiment = FullExperiment(root, name, config, rising, text)
    experiment.run(config.rounds)
    experiment.log_evaluations(0.1, 0.1 + 20 * rising, Event("restarted", "died: out of memory", round=3))
    experiment.finish()
    return experiment
