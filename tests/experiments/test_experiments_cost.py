"""What status and a list ask of the folder does not grow with rounds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from experiments_for_tests import FakeExperiment

from drive_store import Store
from swarm_ray.config.load import load_config
from swarm_ray.experiments.read import listing
from swarm_ray.experiments.read.experiment import OpenExperiment, open_experiment, open_root
from swarm_ray.experiments.read.status import status_of

ROUNDS = (20, 2000)
NODES = ("node-0", "node-1")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two running experiments, of which all but the last round have closed."""
    root = tmp_path_factory.mktemp("root")
    for rounds in ROUNDS:
        experiment = FakeExperiment(
            root, f"of-{rounds}", load_config(overrides=["nodes=2", f"rounds={rounds}"])
        )
        experiment.register(*NODES)
        for number in range(rounds - 1):
            experiment.close(number, dict.fromkeys(NODES, 0.5))
    return root


def test_status_asks_as_much_after_2000_rounds_as_after_20(root: Path) -> None:
    asked = []
    for rounds in ROUNDS:
        opened = open_experiment(str(root), f"of-{rounds}")
        counted = OpenExperiment(opened.address, Store(str(root)), opened.identity)
        status = status_of(counted)
        assert (status.state, status.round) == ("running", rounds - 1)
        operations = asdict(counted.store.operations)
        operations.pop("bytes_read")
        asked.append(operations)
    assert asked[0] == asked[1]
    assert sum(asked[0].values()) <= 20


def test_a_list_reads_three_files_of_each_experiment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores: list[Store] = []

    def opened(path: str) -> Store:
        stores.append(open_root(path))
        return stores[-1]

    monkeypatch.setattr(listing, "open_root", opened)
    found = listing.list_experiments(str(root))
    assert [(s.name, s.round, s.rounds) for s in found] == [("of-20", 19, 20), ("of-2000", 1999, 2000)]
    (store,) = stores
    asked = asdict(store.operations)
    # The identity, the configuration and the newest record; the folder, the log and its last bucket.
    assert {kind: count for kind, count in asked.items() if count and kind != "bytes_read"} == {
        "reads": 3 * 2,
        "lists": 1 + 2 * 2,
    }
