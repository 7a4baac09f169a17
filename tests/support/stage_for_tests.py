"""Machines over one folder, some of which are killed and come back: who they are, and how they are started."""

import json
from dataclasses import dataclass
from pathlib import Path

from kill_points_for_tests import Plan, plan
from machines_for_tests import Machine, last_closed
from swarm_for_tests import SMALL

EXPERIMENT = "lossy"
MODULES = ["swarm_tasks_for_tests", "kill_points_for_tests"]
STEP_S = 0.4
"""What a worker adds to each of its rounds; the slow one adds twice as much."""


@dataclass(frozen=True)
class Part:
    """What becomes of a worker."""

    name: str
    slow: bool = False
    killed: bool = False
    """In the middle of a decode, and started again."""
    joins_at: int = 0
    """Started when so many rounds have closed."""


@dataclass(frozen=True)
class Play:
    """Who takes part, and when the coordinator is killed and started again."""

    parts: tuple[Part, ...]
    rounds: int
    coordinator_dies_at: int


TWO = Play((Part("worker-1"), Part("worker-2", slow=True, killed=True)), 14, 8)


class Stage:
    """The machines of a play, over one folder.

    Args:
        folder: for everything.
        play: who takes part.
    """

    def __init__(self, folder: Path, play: Play) -> None:
        self.folder, self.play, self.root = folder, play, str(folder / "My Drive")
        folder.mkdir(parents=True, exist_ok=True)
        self.machines: dict[str, Machine] = {}
        self.ended: list[Machine] = []

    def plan(self, part: Part) -> Plan:
        """Where the worker's diary is, and where it stops: within the decode of its fourth step."""
        folder = self.folder / f"{part.name} points"
        folder.mkdir(exist_ok=True)
        return plan(folder, *([("generate", 17)] if part.killed else []))

    def start_coordinator(self) -> None:
        """Start the coordinator's machine, or another in its place with the same disk."""
        changes = {
            "rounds": self.play.rounds,
            "nodes": 1,
            "pace.expect": sum(part.joins_at == 0 for part in self.play.parts),
            "tasks.modules": MODULES,
            "evaluation.questions": 0,
            "alarm_rounds": 500,
            "checkpoint.every": 1,
            "pace.max_s": 150,
            "pace.dead_after_s": 150,
        }
        overrides = [f"{key}={json.dumps(value)}" for key, value in (SMALL | changes).items()]
        self._start("coordinator", "coordinate", *overrides, environment={})

    def start(self, part: Part) -> None:
        """Start a worker's machine, or another in its place with the same disk."""
        seconds = STEP_S * (2 if part.slow else 1)
        own = [f"tasks.modules={json.dumps(MODULES)}", f"slow_down_s={seconds}", "checkpoint.every=1"]
        environment = self.plan(part).environment()
        self._start(part.name, "work", "--node", part.name, *own, environment=environment)

    def disk(self, name: str) -> Path:
        """A machine's own disk."""
        return self.folder / f"disk of {name}"

    def wait_round(self, closed: int) -> None:
        """Wait until so many rounds have closed."""
        self.machines["coordinator"].wait_until(
            lambda: last_closed(self.root, EXPERIMENT) >= closed - 1, f"{closed} rounds"
        )

    def kill(self, name: str) -> None:
        """SIGKILL to a whole machine."""
        self.machines[name].kill()

    def close(self) -> None:
        """End what is still there."""
        for machine in [*self.machines.values(), *self.ended]:
            machine.kill()

    def _start(self, name: str, command: str, *arguments: str, environment: dict[str, str]) -> None:
        if name in self.machines:
            self.ended.append(self.machines[name])
        place = ["--root", self.root, "--experiment", EXPERIMENT]
        disk = {"SWARM_RAY_STATE": str(self.disk(name))}
        log = self.folder / f"{name}.log"
        self.machines[name] = Machine(log, command, *place, *arguments, environment=disk | environment)
