"""Writes experiments for tests through the real writers, as the coordinator and the nodes do."""

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from drive_store import ExperimentStore, Registry, SegmentWriter, StateLogWriter, Store, make_node_folders
from swarm_ray.config.load import config_hash
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.experiments.folder import ExperimentAddress, create_experiment
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.nodes import Beat, NodeTotals, Registration
from swarm_ray.records.rollouts import StepCounters
from swarm_ray.records.state import FileRef, Member, NodeTally, StageClosed, StageOpen, StateRecord

CLAIMANT = "coordinator.0a0b0c0d"
CREATED_AT = "2026-08-01T12:00:00+00:00"


def incarnation_of(node: str) -> str:
    """The incarnation that these tests give a node."""
    return f"{int(node.rpartition('-')[2]):08x}"


def totals_after(rewards: list[float], *, start: float | None = None, end: float | None = None) -> NodeTotals:
    """A node's sums after rounds with these rewards; round sums are easy to tell apart."""
    count = len(rewards)
    return NodeTotals(sum(rewards), 10 * count, 4 * count, count, 100 * count, start, end)


@dataclass
class FakeExperiment:
    """An experiment that is written record by record."""

    root: Path
    name: str
    config: SwarmConfig
    created_at: str = CREATED_AT
    rewards: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.address = ExperimentAddress(str(self.root), self.name)
        create_experiment(self.address, self.config, claimant=CLAIMANT, created_at=self.created_at)
        self.store = Store(str(self.root))
        self.paths = self.address.paths
        self.opened = ExperimentStore(self.store, self.paths)
        self.log, self.registry = StateLogWriter(self.opened, 1, CLAIMANT), Registry(self.opened)
        self.problems: dict[str, str] = {}
        self.in_force = ""

    def register(self, *nodes: str, hash_of_config: str = "") -> None:
        """Announce nodes."""
        for node in nodes:
            incarnation = incarnation_of(node)
            make_node_folders(self.opened, node, incarnation)
            hashed = hash_of_config or config_hash(self.config)
            registration = Registration(node, incarnation, "worker", hashed, {}, CREATED_AT)
            self.registry.register(node, incarnation, msgspec.json.encode(registration))

    def beat(self, node: str, beat: Beat) -> None:
        """Give a sign of life."""
        self.registry.write_beat(node, incarnation_of(node), beat.count, msgspec.json.encode(beat))

    def append(
        self,
        state: str,
        *,
        number: int = 0,
        closed: StageClosed | None = None,
        opens: StageOpen | None = None,
        tallies: dict[str, NodeTally] | None = None,
        **said: object,
    ) -> str:
        """Write a state record; answers its key."""
        told = self.tallies() if tallies is None else tallies
        record = StateRecord(state, self.config.rounds, closed, opens, told)
        record = msgspec.structs.replace(record, config_hash=self.in_force, **said)
        ref = self.log.append(msgspec.json.encode(record), round=number, stage=0)
        return self.paths.state_record(ref.epoch, ref.sequence, ref.claimant)

    def tallies(self) -> dict[str, NodeTally]:
        """What the coordinator has summed up."""
        found = {}
        for node, rewards in sorted(self.rewards.items()):
            last, reward = len(rewards) - 1, rewards[-1] if rewards else None
            found[node] = NodeTally(
                last, max(0, last), reward, totals_after(rewards), self.problems.get(node)
            )
        return found

    def opens(self, number: int, nodes: list[str]) -> StageOpen:
        """What opens a round."""
        return StageOpen(number, 0, tuple(Member(n, incarnation_of(n)) for n in nodes), 0.0, 60.0)

    def close(self, number: int, rewards: dict[str, float], seconds: float = 2.0, missing: str = "") -> str:
        """Close a round, and open the next where there is one; answers the record's key."""
        for node, reward in rewards.items():
            self.rewards.setdefault(node, []).append(reward)
        files = []
        for node in rewards:
            life, sha256 = incarnation_of(node), "ab" * 32
            key = self.paths.round_file(node, life, number, 0, 0, sha256)
            files.append(FileRef(node, life, key, sha256, 9))
        gone = (missing,) if missing else ()
        closed = closed_stage(number, rewards, accepted=tuple(files), missing=gone, seconds=seconds)
        last = number + 1 >= self.config.rounds
        opens = None if last else self.opens(number + 1, sorted(self.rewards))
        return self.append("draining" if last else "running", number=number, closed=closed, opens=opens)

    def finish(
        self, *, start: float = 0.1, end: float = 0.5, state: str = "finished", **said: object
    ) -> None:
        """Write the nodes' last beats and the last record, with the totals of the beats in it."""
        tallies = self.tallies()
        for node, rewards in self.rewards.items():
            totals = totals_after(rewards, start=start, end=end)
            tallies[node] = msgspec.structs.replace(tallies[node], totals=totals)
            self.beat(node, Beat(9, -1, len(rewards), "done", totals, done=True))
        self.append(state, tallies=tallies, **said)

    def log_rows(self, node: str, rows: list[StepMetrics], *, start: int = 0) -> str:
        """Write rows as one closed segment; answers its key."""
        return self.log_lines(node, "metrics", rows, start)

    def log_lines(self, node: str, kind: str, lines: Sequence[object], start: int = 0) -> str:
        """Write lines of any log as one closed segment; answers its key."""
        spool = self.root / f"{self.name}-{node}-{start}.{kind}"
        writer = SegmentWriter(self.opened, node, incarnation_of(node), kind, spool=spool, start=start)
        for line in lines:
            writer.append(msgspec.json.encode(line))
        key = writer.close_segment()
        assert key is not None
        return key

    def age(self, seconds: float) -> None:
        """Make every file look as if it had been written so long ago."""
        for path in self.root.rglob("*"):
            was = path.stat().st_mtime
            os.utime(path, (was - seconds, was - seconds))


def closed_stage(number: int, rewards: dict[str, float], **said: object) -> StageClosed:
    """A round in which each of these nodes had one informative group."""
    told = {"rewards": rewards, "informative": dict.fromkeys(rewards, 1), **said}
    return msgspec.structs.replace(StageClosed.empty(number, 0), **told)


def finished(
    root: Path, name: str, config: SwarmConfig, *, seed: int = 0, rising: float = 0.01
) -> FakeExperiment:
    """A whole run whose rewards rise by about `rising` a round."""
    stream = random.Random(seed)
    experiment = FakeExperiment(root, name, config)
    nodes = [f"node-{i}" for i in range(config.nodes)]
    experiment.register(*nodes)
    experiment.rewards = {node: [] for node in nodes}
    experiment.append("waiting", tallies={})
    experiment.append("running", opens=experiment.opens(0, nodes))
    for number in range(config.rounds):
        drawn = {node: rising * number * stream.uniform(0.5, 1.5) for node in nodes}
        experiment.close(number, {node: min(1.0, max(0.0, reward)) for node, reward in drawn.items()})
    for node in nodes:
        experiment.log_rows(node, [metrics_row(node, number) for number in range(config.rounds)])
    experiment.finish()
    return experiment


def metrics_row(node: str, number: int) -> StepMetrics:
    """A row with seconds that are easy to add up: 1 of 2.5 busy seconds is overhead, 0.5 is waiting."""
    told = {"node": node, "incarnation": incarnation_of(node), "round": number, "step": number}
    told |= {
        "reward": 0.5,
        "reward_by_specialty": {"lcm": 0.5},
        "reward_mixed": 0.5,
        "local": 4,
        "external": 4,
    }
    told |= {"counters": StepCounters(), "trained": True, "loss": 0.1, "clip_share": 0.0, "entropy": 1.0}
    told |= {"grad_norm": None, "unfaithful": 0.0, "scoring_failures": 0}
    seconds = {"generate": 1.0, "update": 0.5, "publish": 0.75, "report": 0.25, "wait": 0.5}
    return StepMetrics(**told, seconds=seconds)
