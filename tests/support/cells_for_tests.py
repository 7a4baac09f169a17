"""Cells of the kill matrix: a victim, a phase, and what must hold of the run afterwards."""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psutil
from kill_points_for_tests import PHASES, Entry, Plan, plan
from machines_for_tests import Machine, last_closed, logged_steps
from restarts_for_tests import events_of
from swarm_for_tests import SMALL, closed_stages, records_of

from swarm_ray.experiments import experiment_metrics, experiment_status
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.state import StageClosed

__all__ = ["PHASES", "VICTIMS", "Cell", "Outcome", "Undisturbed", "run_cells", "run_undisturbed"]

Cell = tuple[str, str]
"""A victim and a phase."""

SHELLS = {"logger": "LoggerShell", "discovery": "DiscoveryShell", "coordinator": "CoordinatorShell"}
VICTIMS = ("trainer", *SHELLS, "tree", "raylet")
COUNTS = {
    "generate": 17,
    "publish": 3,
    "gather": 3,
    "update": 3,
    "upload": 2,
    "manifest": 3,
    "folder-manifest": 2,
}
"""Each phase is struck in its second or third round since the point before."""
ROUNDS, NODES = 10, ("node-0", "node-1")
EXPERIMENT = "struck"
CHANGES = {
    "trainers": 2,  # so that rollouts travel through the folder
    "tasks.modules": ["swarm_tasks_for_tests", "kill_points_for_tests"],
    "evaluation.questions": 0,
    "alarm_rounds": 500,
    "slow_down_s": 0.1,
    "checkpoint.every": 1,
    "checkpoint.store_every_s": 0,
    "pace.max_s": 150,
    "pace.dead_after_s": 150,
    "log.segment_s": 1,
}
LOST_TRAINERS = {"trainer": 1, "tree": 2, "raylet": 2}
OF_THE_PROCESS = ("incarnation", "seconds", "replayed", "store")


@dataclass(frozen=True)
class Undisturbed:
    """The run in which nobody was killed."""

    rounds: int
    rows: dict[tuple[str, int], dict[str, Any]]
    weights: dict[tuple[str, int], str]
    closed: list[StageClosed]


@dataclass
class Outcome:
    """What became of a run in which one process after the other was killed."""

    cells: tuple[Cell, ...]
    problems: list[str] = field(default_factory=list)
    next_round_s: list[float] = field(default_factory=list)
    """For each cell: seconds from the kill until the next round had closed."""
    said: list[str] = field(default_factory=list)
    """What the swarm says that it recovered."""

    @property
    def trainers_lost(self) -> int:
        """How often a trainer had to go on from a checkpoint; each has one node."""
        return sum(LOST_TRAINERS.get(victim, 0) for victim, _ in self.cells)

    def check(self, what: str, found: object, wanted: object) -> None:
        """Note a difference."""
        if found != wanted:
            self.problems.append(f"{what}: {found!r}, not {wanted!r}")


def run_undisturbed(folder: Path, rounds: int = ROUNDS) -> Undisturbed:
    """Run the swarm to its end without killing anybody."""
    nobody = plan(folder)
    machine = _start(folder, rounds, nobody)
    try:
        assert machine.process.wait(180) == 0, machine.log()
    finally:
        machine.kill()
    root = _root(folder)
    weights = {(e.node, e.step): e.sha256 for e in nobody.diary()}
    found = {(row.node, row.step): _plain(row) for row in experiment_metrics(root, EXPERIMENT)}
    assert len(found) == len(weights) == rounds * len(NODES)
    return Undisturbed(rounds, found, weights, closed_stages(root, EXPERIMENT))


def run_cells(folder: Path, cells: Sequence[Cell], undisturbed: Undisturbed) -> Outcome:
    """Kill each victim while a trainer is in its phase, wait for the end, and check all that must hold."""
    outcome = Outcome(tuple(cells))
    planned = plan(folder, *((phase, COUNTS[phase]) for _, phase in cells))
    start = partial(_start, folder, undisturbed.rounds, planned)
    machines = [start()]
    try:
        for number in range(len(cells)):
            _strike_one(machines, start, outcome, planned, number)
        outcome.check("exit status", machines[-1].process.wait(180), 0)
        outcome.check("processes left", [line for m in machines for line in m.left()], [])
    except (AssertionError, subprocess.TimeoutExpired) as failure:
        outcome.problems.append(str(failure)[:2000])
        return outcome
    finally:
        for machine in machines:
            machine.kill()
    root = _root(folder)
    _check_books(outcome, root, undisturbed)
    _check_weights(outcome, planned.diary(), undisturbed)
    _check_told(outcome, root)
    return outcome


def _strike_one(
    machines: list[Machine], start: Callable[[], Machine], outcome: Outcome, planned: Plan, number: int
) -> None:
    """Kill when the point is reached, start a dead machine again, and wait until a round has closed."""
    (victim, phase), point = outcome.cells[number], planned.points[number]
    root = _root(Path(planned.folder))
    machines[-1].wait_until(point.reached.exists, f"{phase} was reached")
    before, began = last_closed(root, EXPERIMENT), time.monotonic()
    _strike(machines[-1], victim, int(point.reached.read_text()))
    point.go.touch()
    if victim == "tree":
        machines.append(start())
    machines[-1].wait_until(lambda: last_closed(root, EXPERIMENT) > before, "the next round")
    outcome.next_round_s.append(time.monotonic() - began)


def _start(folder: Path, rounds: int, planned: Plan) -> Machine:
    changes = CHANGES | {"rounds": rounds}
    overrides = [f"{key}={json.dumps(value)}" for key, value in (SMALL | changes).items()]
    folder.mkdir(parents=True, exist_ok=True)
    return Machine(
        folder / "log",
        "simulate",
        "--root",
        _root(folder),
        "--experiment",
        EXPERIMENT,
        *overrides,
        environment={"SWARM_RAY_STATE": str(folder / "own disk"), **planned.environment()},
    )


def _root(folder: Path) -> str:
    return str(folder / "My Drive")


def _strike(machine: Machine, victim: str, trainer: int) -> None:
    """SIGKILL, and wait until it is dead."""
    if victim == "tree":
        machine.kill()
        return
    if victim == "trainer":
        struck = [psutil.Process(trainer)]
    elif victim == "raylet":
        struck = [p for p in machine.tree() if p.name() == "raylet"]
    else:
        struck = machine.actors(SHELLS[victim])
    assert len(struck) == 1, f"{len(struck)} processes of the {victim}"
    struck[0].kill()
    _, alive = psutil.wait_procs(struck, timeout=10)
    assert all(p.status() == psutil.STATUS_ZOMBIE for p in alive), f"the {victim} does not die"


def _check_books(outcome: Outcome, root: str, undisturbed: Undisturbed) -> None:
    """The state log and the metrics say what those of the undisturbed run say."""
    closed = closed_stages(root, EXPERIMENT)
    outcome.check("rounds closed", [stage.round for stage in closed], list(range(undisturbed.rounds)))
    for stage, wanted in zip(closed, undisturbed.closed, strict=False):
        accepted = [(file.node, file.step) for file in stage.accepted]
        outcome.check(f"accepted in round {stage.round}", accepted, [(n, stage.round) for n in NODES])
        for what in ("missing", "rejected", "rewards", "informative", "winners"):
            outcome.check(
                f"{what} of round {stage.round}",
                msgspec.to_builtins(getattr(stage, what)),
                msgspec.to_builtins(getattr(wanted, what)),
            )
    logged = logged_steps(root)
    outcome.check("rows that were logged", sorted(logged), sorted(undisturbed.rows))
    outcome.check("rows that were logged twice", [key for key, count in logged.items() if count > 1], [])
    torn: list[str] = []  # a logger may die in the middle of a segment, whose rows its successor writes again
    rows = experiment_metrics(root, EXPERIMENT, torn)
    outcome.check("rows that are read", sorted((r.node, r.step) for r in rows), sorted(undisturbed.rows))
    for row in rows:
        wanted_row = undisturbed.rows.get((row.node, row.step), {})
        for what, value in _plain(row).items():
            outcome.check(f"{what} of {row.node}, step {row.step}", value, wanted_row.get(what))
    outcome.check("the last state", records_of(root, EXPERIMENT)[-1].state, "finished")
    status = experiment_status(root, EXPERIMENT)
    outcome.check("the status", (status.state, [n.problem for n in status.nodes]), ("finished", [None, None]))


def _check_weights(outcome: Outcome, diary: Sequence[Entry], undisturbed: Undisturbed) -> None:
    """Bit for bit, after every step, after every restore, and at the end."""
    for entry in diary:
        wanted = undisturbed.weights.get((entry.node, entry.step))
        outcome.check(f"weights of {entry.node}, {entry.what}, step {entry.step}", entry.sha256, wanted)
    for node in NODES:
        reached = max((entry.step for entry in diary if entry.node == node), default=0)
        outcome.check(f"the last step of {node}", reached, undisturbed.rounds)
    restored = [entry.node for entry in diary if entry.what == "restored"]
    outcome.check("restores", len(restored), outcome.trainers_lost)


def _check_told(outcome: Outcome, root: str) -> None:
    """A recovery is reported: what was restarted, and where each node of a dead trainer resumes."""
    resumed = [event.text for event in events_of(root, "resumed")]
    restarted = [event.text for event in events_of(root, "restarted")]
    outcome.said = resumed + restarted
    outcome.check("resumed events", len(resumed), outcome.trainers_lost)
    outcome.check("lost", [text for text in resumed if not text.endswith("nothing lost")], [])
    for victim, _ in outcome.cells:
        said = "Ray died" if victim == "raylet" else victim
        if victim != "tree":  # a new command does not count as a restart
            outcome.check(f"a restart of the {victim} is told", any(said in text for text in restarted), True)


def _plain(row: StepMetrics) -> dict[str, Any]:
    return {key: value for key, value in msgspec.to_builtins(row).items() if key not in OF_THE_PROCESS}
