"""A coordinator whose nodes are played by hand, tick by tick."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
from folder_for_tests import CLAIMANT, Folder, incarnation, round_file
from swarm_for_tests import records_of

from actors.coordinator import Coordinator
from swarm_ray.records import Beat, NodeTotals, Registration, RoundFile, StateRecord
from swarm_ray.settings import config_hash


class Played:
    """A coordinator with nodes whose every word is the test's."""

    def __init__(self, tmp_path: Path, **changes: Any) -> None:
        quick = {"pace__beat_s": 0.01, "pace__dead_after_s": 1000, "pace__max_s": 1000, "rounds": 3}
        self.folder = Folder(tmp_path, **quick | changes)
        self.coordinator = Coordinator(self.folder.address, self.folder.config, CLAIMANT)
        self.now = time.monotonic()

    def tick(self, seconds: float = 1.0) -> None:
        """Let time pass, and the coordinator do what there is to do."""
        self.now += seconds
        while self.coordinator.tick(self.now) and self.coordinator.status().state != "finished":
            self.now += 0.02

    def register(self, *nodes: str) -> None:
        for node in nodes:
            self.folder.join(node)
            hashed = config_hash(self.folder.config)
            announced = Registration(node, incarnation(node), "worker", hashed, {}, "")
            self.folder.registry.register(node, incarnation(node), msgspec.json.encode(announced))
            self.beat(node, 0)

    def beat(self, node: str, count: int, **said: Any) -> None:
        spoken = msgspec.structs.replace(Beat(count, 0, count, "training", NodeTotals()), **said)
        self.folder.registry.write_beat(node, incarnation(node), count, msgspec.json.encode(spoken))

    def publish(self, node: str, number: int, **said: Any) -> RoundFile:
        file = round_file(step=number, **said)
        self.folder.publish(node, number, msgspec.msgpack.encode(file))
        return file

    @property
    def last(self) -> StateRecord:
        return records_of(self.folder.root, "small")[-1]

    def members(self) -> list[str]:
        return [m.node for m in self.last.opens.members] if self.last.opens else []
