"""A coordinator whose nodes are played by hand, tick by tick."""

import time
from pathlib import Path
from typing import Any, Self

import msgspec
from folder_for_tests import Folder, round_file
from swarm_for_tests import records_of, rules_of

from actors.coordinator.coordinator import Coordinator
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import Answers, StageClosed, StateRecord

ENDS = {"finished", "stopped", "failed", "superseded"}


class Played:
    """A coordinator with nodes whose every word is the test's."""

    def __init__(self, tmp_path: Path, **changes: Any) -> None:
        quick = {"pace__beat_s": 0.01, "pace__dead_after_s": 1000, "pace__max_s": 1000, "rounds": 3}
        self.folder = Folder(tmp_path, **quick | changes)
        self.coordinator = self.another()
        self.now = time.monotonic()

    @classmethod
    def begun(cls, tmp_path: Path, *nodes: str, lock: bool = False, **changes: Any) -> Self:
        """One that expects these nodes, with round 0 open for them; with `lock` it has this machine's seat."""
        made = cls(tmp_path, **{"pace__expect": len(nodes)} | changes)
        if lock:
            made.succeed(lock=True)
        made.join(*nodes)
        return made

    def another(self, *, lock: bool = False, address: ExperimentAddress | None = None) -> Coordinator:
        """A further process that coordinates; with `lock`, one that takes this machine's seat."""
        return Coordinator(address or self.folder.address, rules_of(self.folder.config), lock=lock)

    def succeed(self, *, lock: bool = False) -> None:
        """The coordinator dies, and another process takes its place."""
        self.coordinator.close()
        self.coordinator = self.another(lock=lock)

    def tick(self, seconds: float = 1.0) -> None:
        """Let time pass, and the coordinator do what there is to do."""
        self.now += seconds
        while self.coordinator.tick(self.now) and self.coordinator.status().state not in ENDS:
            self.now += 0.02

    def register(self, *nodes: str) -> None:
        for node in nodes:
            self.folder.join(node)
            self.folder.register(node)
            self.beat(node, 0)

    def beat(self, node: str, count: int, **said: Any) -> None:
        self.folder.beat(node, count, **said)

    def publish(self, node: str, number: int, *, attempt: int = 0, stage: int = 0, **said: Any) -> RoundFile:
        file = round_file(**{"step": number} | said)
        self.folder.publish(node, number, msgspec.msgpack.encode(file), attempt, stage)
        return file

    def join(self, *nodes: str) -> None:
        """Register nodes, and let the coordinator see them."""
        self.register(*nodes)
        self.tick()

    def tell(self, node: str, count: int, **said: Any) -> None:
        """Send a heartbeat, and let the coordinator see it."""
        self.beat(node, count, **said)
        self.tick()

    def hand_in(self, number: int, *nodes: str, **said: Any) -> None:
        """Let these nodes publish a file of a round each, and the coordinator see them."""
        for node in nodes:
            self.publish(node, number, **said)
        self.tick()

    def play(self, *nodes: str, rounds: range) -> None:
        """Let these nodes hand in a file for each of `rounds`, one round after the other."""
        for number in rounds:
            self.hand_in(number, *nodes)

    @property
    def records(self) -> list[StateRecord]:
        return records_of(self.folder.root, "small")

    @property
    def last(self) -> StateRecord:
        return self.records[-1]

    @property
    def closed(self) -> StageClosed:
        """What the newest record closes."""
        assert self.last.closed is not None
        return self.last.closed

    @property
    def answers(self) -> Answers:
        """What the newest record answers outside of a stage."""
        assert self.last.answers is not None
        return self.last.answers

    def members(self) -> list[str]:
        return [m.node for m in self.last.opens.members] if self.last.opens else []
