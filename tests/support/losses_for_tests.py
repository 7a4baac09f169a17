"""A coordinator and workers, each on a machine of its own over one folder: what must hold after some were lost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kill_points_for_tests import Entry
from restarts_for_tests import events_of
from stage_for_tests import EXPERIMENT, Part, Play, Stage
from swarm_for_tests import closed_stages, records_of

from drive_store import ExperimentStore, Store, history
from swarm_ray.experiments import experiment_metrics, experiment_status
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.state import StateRecord


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
