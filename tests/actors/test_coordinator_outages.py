"""A folder that is out of reach at any operation delays a coordinator, and changes nothing of what it writes."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from played_for_tests import Played

from drive_store import ExperimentStore, Store, StoreDenied, StoreError, StoreFull, StoreUnavailable
from swarm_ray.experiments.folder import ExperimentAddress


class Outages:
    """One operation in eight fails, by lot."""

    def __init__(self, seed: int, kind: type[StoreError]) -> None:
        self._lots, self._kind, self._count = random.Random(seed), kind, 0
        self.failed = 0

    def pass_or_fail(self) -> None:
        self._count += 1
        if self._count > 20 and self._lots.random() < 1 / 8:  # the store is opened whole
            self.failed += 1
            raise self._kind("the mount is away; mount it again")


class AwayStore(Store):
    """A store with outages: writes that fail half-way leave a part."""

    def __init__(self, root: str, outages: Outages) -> None:
        super().__init__(root)
        self._outages = outages

    def create(self, key: str, data: bytes) -> None:
        try:
            self._outages.pass_or_fail()
        except StoreError:
            super().create(key, data[: len(data) // 2])
            raise
        super().create(key, data)

    def replace_copy(self, key: str, data: bytes) -> None:
        self._outages.pass_or_fail()
        super().replace_copy(key, data)

    def read(self, key: str, limit: int) -> bytes | None:
        self._outages.pass_or_fail()
        return super().read(key, limit)

    def names(self, folder_key: str) -> list[str]:
        self._outages.pass_or_fail()
        return super().names(folder_key)


@dataclass(frozen=True)
class AwayAddress(ExperimentAddress):
    """Opens stores with outages."""

    outages: Outages = field(default_factory=lambda: Outages(1, StoreUnavailable), compare=False)

    def open(self) -> ExperimentStore:
        store = AwayStore(self.root, self.outages)
        store.attach(self.paths.experiment_json)
        return ExperimentStore(store, self.paths)


@pytest.mark.parametrize("kind", [StoreUnavailable, StoreFull, StoreDenied])
@pytest.mark.parametrize("seed", range(4))
def test_rounds_go_on_through_outages(tmp_path: Path, seed: int, kind: type[StoreError]) -> None:
    quick: dict[str, Any] = {"pace__poll_max_s": 0.02, "pace__drain_s": 0.05}
    played = Played(tmp_path, rounds=8, pace__expect=2, **quick)
    played.register("node-1", "node-2")
    for number in range(8):
        for node in ("node-1", "node-2"):
            played.publish(node, number)
    outages = Outages(seed, kind)
    address = AwayAddress(played.folder.address.root, played.folder.address.experiment, outages)
    coordinator = played.another(address=address)
    assert coordinator.run() == "finished"
    assert outages.failed > 3
    closed = [r.closed for r in played.records if r.closed]
    assert [stage.round for stage in closed] == list(range(8))
    assert all(len(stage.accepted) == 2 for stage in closed)


def test_a_stop_ends_it_although_the_folder_is_away(tmp_path: Path) -> None:
    played = Played(tmp_path, pace__poll_max_s=0.02)
    played.join("node-1")
    sentinel = played.folder.root / played.folder.paths.experiment_json
    sentinel.rename(sentinel.with_name("away"))
    before = len(list(played.folder.root.rglob("e000001*")))
    played.coordinator.stop("stopped", "on request")
    assert played.coordinator.run() == "stopped"
    status = played.coordinator.status()
    assert status.unreachable
    assert status.problem.startswith("StoreUnavailable: ")
    assert len(list(played.folder.root.rglob("e000001*"))) == before
