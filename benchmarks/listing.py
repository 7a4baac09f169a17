"""Listing a thousand experiments of 2,000 rounds, against a reader of everything.

Run as ``python benchmarks/listing.py [--experiments N] [--rounds N] [--folder DIR]``. The root is made of real files:
every experiment has its own identity, configuration and newest state record, and all names of its log in buckets of
500.
The naive reader parses the configuration and walks the whole state log; it is timed on one experiment of the same root
in the same run, since on all of them it would take an hour.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from drive_store import Expected, ExperimentStore, StateLogWriter, Store, Valid, open_envelope, seal_json
from drive_store.paths import BUCKET
from swarm_ray.config.load import load_config
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.experiments import experiment_status, list_experiments
from swarm_ray.experiments.folder import ExperimentAddress, create_experiment
from swarm_ray.experiments.read.compare import history_of
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.records.nodes import NodeTotals
from swarm_ray.records.state import FileRef, Member, NodeTally, StageClosed, StageOpen, StateRecord

CLAIMANT, LIFE = "coordinator.0a0b0c0d", "0a0b0c0d"
FIRST = "exp-00000"
NODES = tuple(f"node-{number}" for number in range(8))


def main() -> None:
    """Make the root, time both readers, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument(
        "--folder", type=Path, help="where the root is made, and left (default: a temporary one)"
    )
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="listing-"))
    try:
        root = make_root(folder, arguments.experiments, arguments.rounds)
        report(root, arguments.experiments, arguments.rounds, arguments.repeat)
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder)


def report(root: str, experiments: int, rounds: int, repeat: int) -> None:
    """Time the list, one status, and the naive reader."""
    found = list_experiments(root)
    assert len(found) == experiments
    assert all((s.state, s.round, s.problem) == ("running", rounds, None) for s in found), found[0]
    ours = timed(lambda: list_experiments(root), repeat)
    status = timed(lambda: experiment_status(root, FIRST), repeat)
    naive = timed(lambda: read_everything(root, FIRST), min(repeat, 3))
    print(f"list of {experiments} experiments of {rounds} rounds: {spread(ours)}, {repeat} times")
    print(f"status of one: {spread(status)}")
    print(f"naive reader of one experiment: {spread(naive)}")
    each = statistics.median(ours) / experiments
    print(
        f"per experiment the naive reader takes {statistics.median(naive) / each:.0f} times as long as the list"
    )


def timed(work: Callable[[], object], repeat: int) -> list[float]:
    """Seconds of each of several calls."""
    taken = []
    for _ in range(repeat):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return taken


def spread(seconds: list[float]) -> str:
    """Median, least and most."""
    return f"median {statistics.median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f})"


def read_everything(root: str, name: str) -> int:
    """What a reader does who sums up the log to know how far an experiment has come."""
    experiment = open_experiment(root, name)
    experiment.config()
    return max(stage.round for stage in history_of(experiment))


def make_root(folder: Path, experiments: int, rounds: int) -> str:
    """A root with so many experiments; one that was made before with as many is taken as it is."""
    root = folder / f"listing-{experiments}-{rounds}"
    if not root.exists():
        making = folder / "making"
        shutil.rmtree(making, ignore_errors=True)
        config = load_config(overrides=[f"rounds={rounds + 1}"])
        write_experiment(making, FIRST, config, rounds)
        for number in range(1, experiments):
            name = f"exp-{number:05d}"
            copy_experiment(making, name, config.model_copy(update={"seed": number}), rounds)
        making.rename(root)
    return str(root)


def write_experiment(root: Path, name: str, config: SwarmConfig, rounds: int) -> None:
    """Write an experiment through the real writers."""
    address = create(root, name, config)
    log = StateLogWriter(ExperimentStore(Store(str(root)), address.paths), 1, CLAIMANT)
    for number in range(rounds):
        log.append(msgspec.json.encode(record(address, number, rounds)), round=number, stage=0)


def copy_experiment(root: Path, name: str, config: SwarmConfig, rounds: int) -> None:
    """Another experiment with as many records, the newest sealed under its own name.

    The records behind it are hard links to those of the first experiment, which spares gigabytes: a list sees their
    names and never opens them.
    """
    paths, first = create(root, name, config).paths, ExperimentAddress(str(root), FIRST).paths
    for sequence in range(rounds):
        key = paths.state_record(1, sequence, CLAIMANT)
        source = root / first.state_record(1, sequence, CLAIMANT)
        if sequence % BUCKET == 0:
            (root / key).parent.mkdir()
        if sequence < rounds - 1:
            os.link(source, root / key)
        else:
            opened = open_envelope(
                source.read_bytes(), Expected(kind="state", experiment=FIRST, max_payload=1 << 20)
            )
            assert isinstance(opened, Valid)
            header = msgspec.structs.replace(opened.header, experiment=name)
            (root / key).write_bytes(seal_json(header, opened.payload))


def create(root: Path, name: str, config: SwarmConfig) -> ExperimentAddress:
    """Make an experiment's folder."""
    address = ExperimentAddress(str(root), name)
    create_experiment(address, config, claimant="coordinator")
    return address


def record(address: ExperimentAddress, number: int, rounds: int) -> StateRecord:
    """A record as the coordinator of eight nodes writes it when a round closes."""
    paths, hashed = address.paths, f"{number:064x}"
    files = tuple(
        FileRef(n, LIFE, paths.round_file(n, LIFE, number, 0, 0, hashed), hashed, 9000) for n in NODES
    )
    closed = StageClosed(
        round=number,
        stage=0,
        accepted=files,
        missing=(),
        late=(),
        superseded=(),
        rejected=(),
        rewards=dict.fromkeys(NODES, number / rounds),
        informative=dict.fromkeys(NODES, 2),
        winners=NODES[:2],
        seconds=2.5,
    )
    opens = StageOpen(number + 1, 0, tuple(Member(node, LIFE) for node in NODES), 0.0, 60.0)
    totals = NodeTotals(number / 2, 10 * number, 4 * number, 0, 100 * number)
    tallies = {node: NodeTally(number, number, number / rounds, totals) for node in NODES}
    return StateRecord("running", rounds + 1, closed, opens, tallies)


if __name__ == "__main__":
    main()
