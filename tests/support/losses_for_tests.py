"""Machines over one folder, some of which are killed and come back; what must hold of the run afterwards."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kill_points_for_tests import Entry, Plan, plan
from machines_for_tests import Machine, last_closed
from restarts_for_tests import events_of
from swarm_for_tests import SMALL, closed_stages, records_of

from drive_store import ExperimentStore, Store, history
from swarm_ray.experiments import experiment_metrics, experiment_status
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.state import StateRecord

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


@dataclass
class Played:
    """What the folder and the diaries say afterwards."""

    play: Play
    root: str
    problems: list[str] = field(default_factory=list)
    rows: dict[str, list[StepMetrics]] = field(default_factory=dict)
    records: list[StateRecord] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)
    """Epoch and sequence of each record, in the order of the chain."""
    diary: dict[str, list[Entry]] = field(default_factory=dict)
    resumed: list[str] = field(default_factory=list)
    joined: dict[str, int] = field(default_factory=dict)
    """The first round of each worker."""
    logs: dict[str, str] = field(default_factory=dict)
    """What each machine said, in all its lives."""
    disks: dict[str, Path] = field(default_factory=dict)

    def check(self, what: str, found: object, wanted: object) -> None:
        """Note a difference."""
        if found != wanted:
            self.problems.append(f"{what}: {found!r}, not {wanted!r}")


def play(folder: Path, what: Play) -> Played:
    """Run it to the end, and read what there is to read."""
    stage = Stage(folder, what)
    played = Played(what, stage.root)
    try:
        _act(stage)
        for name, machine in stage.machines.items():
            played.check(f"exit status of {name}", machine.process.wait(180), 0)
        left = [line for m in [*stage.machines.values(), *stage.ended] for line in m.left()]
        played.check("processes left", left, [])
    finally:
        stage.close()
    _read(stage, played)
    if not played.problems:  # else nothing of the rest can hold
        _check(played, stage.root)
    return played


def _act(stage: Stage) -> None:
    first, *others = [part for part in stage.play.parts if part.joins_at == 0]
    stage.start(first)
    stage.machines[first.name].waits_for("no coordinator has created it yet")
    stage.start_coordinator()
    for part in others:
        stage.start(part)
    for part in stage.play.parts:
        if part.killed:
            (point,) = stage.plan(part).points
            stage.machines[part.name].wait_until(point.reached.exists, "its fourth decode")
            stage.kill(part.name)
            point.go.touch()
            stage.start(part)
    for part in stage.play.parts:
        if part.joins_at:
            stage.wait_round(part.joins_at)
            stage.start(part)
    stage.wait_round(stage.play.coordinator_dies_at)
    stage.kill("coordinator")
    stage.start_coordinator()


def _read(stage: Stage, played: Played) -> None:
    played.logs = {name: machine.log() for name, machine in stage.machines.items()}
    played.disks = {name: stage.disk(name) for name in stage.machines}
    address = ExperimentAddress(stage.root, EXPERIMENT)
    rows = experiment_metrics(stage.root, EXPERIMENT)
    for part in stage.play.parts:
        played.rows[part.name] = [row for row in rows if row.node == part.name]
        played.diary[part.name] = stage.plan(part).diary()
    played.records = records_of(stage.root, EXPERIMENT)
    entries = history(ExperimentStore(Store(stage.root), address.paths), problems=[])
    played.places = [(entry.ref.epoch, entry.ref.sequence) for entry in entries]
    played.resumed = [event.text for event in events_of(stage.root, "resumed")]


def _check(played: Played, root: str) -> None:
    """What holds of every play: all rounds, every member in each, rows and rewards exact, weights as they were."""
    rounds = played.play.rounds
    closed = closed_stages(root, EXPERIMENT)
    played.check("rounds closed", [stage.round for stage in closed], list(range(rounds)))
    played.check("missing", [stage.missing for stage in closed if stage.missing], [])
    played.check("epochs and sequences", played.places, sorted(set(played.places)))
    played.check("epochs", {epoch for epoch, _ in played.places}, {1, 2})
    opened = [record.opens.round for record in played.records if record.opens]
    played.check("rounds opened", opened, sorted(opened))
    last = played.records[-1]
    played.check("the last state", (last.state, last.note), ("finished", ""))
    for part in played.play.parts:
        _check_worker(played, part, last)
    status = experiment_status(root, EXPERIMENT)
    played.check("problems", {n.id: n.problem for n in status.nodes if n.problem}, {})


def _check_worker(played: Played, part: Part, last: StateRecord) -> None:
    rows, name = played.rows[part.name], part.name
    first = rows[0].round if rows else played.play.rounds
    played.joined[name] = first
    played.check(f"rounds of {name}", [row.round for row in rows], list(range(first, played.play.rounds)))
    played.check(f"steps of {name}", [row.step for row in rows], list(range(len(rows))))
    played.check(f"{name} joined late", first >= part.joins_at and (first == 0) == (part.joins_at == 0), True)
    rewards = [
        record.closed.rewards[name]
        for record in played.records
        if record.closed and record.closed.rewards.get(name) is not None
    ]
    played.check(f"rewards of {name}", [row.reward for row in rows], rewards)
    played.check(f"cumulative reward of {name}", last.tallies[name].totals.reward, sum(rewards))
    played.check(f"local of {name}", {row.local for row in rows}, {2})
    _check_weights(played, part, played.diary[name])


def _check_weights(played: Played, part: Part, diary: Sequence[Entry]) -> None:
    """A step that was taken twice came out the same, and a restore gave back what was kept."""
    seen: dict[int, str] = {}
    for entry in diary:
        played.check(
            f"weights of {part.name} at step {entry.step}",
            entry.sha256,
            seen.setdefault(entry.step, entry.sha256),
        )
    played.check(
        f"restores of {part.name}", sum(entry.what == "restored" for entry in diary), int(part.killed)
    )
