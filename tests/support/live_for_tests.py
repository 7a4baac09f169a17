"""Records, beats and folders of swarms that are watched."""

from pathlib import Path

import msgspec
from experiments_for_tests import CLAIMANT, FakeExperiment, closed_stage, totals_after

from drive_store import write_coordinator_beat
from swarm_ray.config.load import load_config
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.records.nodes import Beat, CoordinatorBeat, NodeTotals
from swarm_ray.records.state import NodeTally, StageOpen, StateRecord

NODES = ["node-0", "node-1", "node-2"]


def config(**overrides: object) -> SwarmConfig:
    return load_config(overrides=["nodes=3", *(f"{k}={v}" for k, v in ({"rounds": 40} | overrides).items())])


def underway(root: Path, rounds: int, of: int = 40) -> FakeExperiment:
    """A swarm after so many rounds, of 2 seconds each."""
    experiment = FakeExperiment(root, "grown", config(rounds=of))
    experiment.register(*NODES)
    experiment.rewards = {node: [] for node in NODES}
    experiment.append("waiting", tallies={})
    experiment.append("running", opens=experiment.opens(0, NODES))
    for number in range(rounds):
        experiment.close(number, dict.fromkeys(NODES, number / 100))
    for node in NODES:
        experiment.beat(node, Beat(rounds, rounds - 1, rounds, "generate", NodeTotals()))
    coordinate(experiment, 0)
    return experiment


def play_round(experiment: FakeExperiment, number: int, nodes: list[str]) -> None:
    for node in nodes:
        totals = totals_after([0.1] * number)
        experiment.beat(node, Beat(number + 1, number, number + 1, "generate", totals))
    experiment.close(number, dict.fromkeys(nodes, number / 100))


def coordinate(experiment: FakeExperiment, count: int, claimant: str = CLAIMANT) -> None:
    payload = msgspec.json.encode(CoordinatorBeat(count, 1, 0))
    write_coordinator_beat(experiment.opened, claimant, count, payload)


def tally(number: int, step: int, reward: float = 0.5) -> NodeTally:
    return NodeTally(number, step, reward, NodeTotals(reward * (step + 1), 8, 4 * step, 0, 100 * (step + 1)))


def record(number: int, steps: dict[str, int], *, seconds: float = 2.0) -> StateRecord:
    """What closes round `number` and opens the next."""
    closed = closed_stage(number, dict.fromkeys(steps, 0.5), seconds=seconds)
    opens, tallies = StageOpen(number + 1, 0, (), 0.0, 60.0), {n: tally(number, s) for n, s in steps.items()}
    return StateRecord("running", 60, closed, opens, tallies)


def beat(**said: object) -> Beat:
    return msgspec.structs.replace(Beat(1, 9, 9, "generate", NodeTotals()), **said)
