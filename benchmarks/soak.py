"""A long run under random kills: `make soak`. Says what was lost (nothing should be) and what grew (nothing should)."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
sys.path += [str(ROOT), str(ROOT / "tests" / "support")]
os.environ.setdefault("SWARM_RAY_CACHE", str(ROOT / ".cache" / "swarm-ray"))

from machines_for_tests import Machine, last_closed, logged_steps  # noqa: E402
from restarts_for_tests import events_of  # noqa: E402
from swarm_for_tests import closed_stages, records_of  # noqa: E402

SHELLS = {
    "trainer": "TrainerShell",
    "logger": "LoggerShell",
    "discovery": "DiscoveryShell",
    "coordinator": "CoordinatorShell",
}
EVERY_S = (20.0, 40.0)
TREE_EVERY = 5
SAMPLE_S = 5.0
EXPERIMENT = "soak"
SETTINGS = [
    "policy.start=C5",
    "retention.rounds=50",
    "evaluation.questions=0",
    "pace.max_s=300",
    "pace.dead_after_s=300",
    "log.segment_s=20",
]


@dataclass(frozen=True)
class Sample:
    """What there was at a moment."""

    round: int
    resident: dict[str, float]
    """MB by actor, of those that are there."""
    files: int
    """In the shared folder."""
    rollouts: int
    """Round files among them."""
    own_files: int
    """On the own disk."""
    own_mb: float


@dataclass
class Soak:
    """A run, and what was done to it."""

    folder: Path
    rounds: int
    nodes: int
    kills: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def root(self) -> str:
        """The shared folder."""
        return str(self.folder / "My Drive")

    @property
    def own_disk(self) -> Path:
        """The machine's own."""
        return self.folder / "own disk"

    def start(self) -> Machine:
        """The command; the same one resumes what is there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return Machine(
            self.folder / "log",
            "simulate",
            "--root",
            self.root,
            "--experiment",
            EXPERIMENT,
            f"nodes={self.nodes}",
            f"rounds={self.rounds}",
            *SETTINGS,
            environment={"SWARM_RAY_STATE": str(self.own_disk)},
        )


def main() -> int:
    """Run it; the exit status says whether all rounds closed and every row is there once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--undisturbed-rounds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # so that what was started is ended, in the background too
        signal.signal(number, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    calm = Soak(folder / "undisturbed", asked.undisturbed_rounds, asked.nodes)
    if _run(calm, None):
        print(f"the undisturbed run fails; look into {calm.folder}")
        return 1
    soak = Soak(folder / "soak", asked.rounds, asked.nodes)
    status = _run(soak, random.Random(asked.seed))
    problems = _problems(soak, status)
    _report(soak, calm, problems)
    if problems:
        print(f"what failed lies in {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if problems else 0


def _run(soak: Soak, chance: random.Random | None) -> int:
    """To the end, with kills if there is chance; the last command's exit status."""
    machine, began = soak.start(), time.monotonic()
    first, kill_at, sample_at = 0.0, float("inf"), 0.0
    try:
        while machine.process.poll() is None:
            now = time.monotonic()
            if not first and last_closed(soak.root, EXPERIMENT) >= 0:
                first = now
                kill_at = now + chance.uniform(*EVERY_S) if chance else kill_at
            if now >= sample_at:
                sample_at = now + SAMPLE_S
                soak.samples.append(_sample(soak, machine))
            if chance and now >= kill_at:
                machine = _kill_one(soak, machine, chance)
                kill_at = time.monotonic() + chance.uniform(*EVERY_S)
            time.sleep(0.2)
    finally:
        machine.kill()
    soak.seconds = time.monotonic() - (first or began)
    return machine.process.returncode


def _kill_one(soak: Soak, machine: Machine, chance: random.Random) -> Machine:
    """One victim, if it is there; every fifth time all at once, and then the command is started again."""
    if soak.kills.total() % TREE_EVERY == TREE_EVERY - 1:
        machine.kill()
        soak.kills["tree"] += 1
        _say(soak, "tree")
        return soak.start()
    victim = chance.choice(sorted(SHELLS))
    for process in machine.actors(SHELLS[victim]):
        process.kill()
        soak.kills[victim] += 1
        _say(soak, victim)
    return machine


def _say(soak: Soak, victim: str) -> None:
    print(f"  round {last_closed(soak.root, EXPERIMENT) + 1}: killed the {victim}", flush=True)


def _sample(soak: Soak, machine: Machine) -> Sample:
    resident = {}
    for name, shell in SHELLS.items():
        for process in machine.actors(shell):
            try:
                resident[name] = process.memory_info().rss / 1e6
            except psutil.NoSuchProcess:
                continue
    shared, own = _files(Path(soak.root)), _files(soak.own_disk)
    return Sample(
        last_closed(soak.root, EXPERIMENT),
        resident,
        len(shared),
        sum(path.suffix == ".rollouts" for path in shared),
        len(own),
        sum(map(_size, own)) / 1e6,
    )


def _files(folder: Path) -> list[Path]:
    return [Path(at, name) for at, _, names in os.walk(folder) for name in names]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _problems(soak: Soak, status: int) -> list[str]:
    problems = [] if status == 0 else [f"the command ended with {status}"]
    closed = closed_stages(soak.root, EXPERIMENT)
    numbers = [stage.round for stage in closed]
    if numbers != list(range(soak.rounds)):
        problems.append(
            f"{len(numbers)} rounds closed, {len(set(numbers))} different ones, the last {numbers[-1:]}"
        )
    short = [stage.round for stage in closed if len(stage.accepted) != soak.nodes]
    if short:
        problems.append(f"rounds without every node: {short}")
    found = logged_steps(soak.root)
    wanted = {(f"node-{n}", step) for n in range(soak.nodes) for step in range(soak.rounds)}
    twice = sorted(key for key, count in found.items() if count > 1)
    if twice or set(found) != wanted:
        lost, strange = sorted(wanted - set(found)), sorted(set(found) - wanted)
        problems.append(f"rows twice: {twice[:9]}; lost: {lost[:9]} ({len(lost)}); unknown: {strange[:9]}")
    if records_of(soak.root, EXPERIMENT)[-1].state != "finished":
        problems.append(f"the last state is {records_of(soak.root, EXPERIMENT)[-1].state}")
    return problems


def _report(soak: Soak, calm: Soak, problems: Sequence[str]) -> None:
    kills = ", ".join(f"{count} {victim}" for victim, count in sorted(soak.kills.items()))
    rows, rounds = logged_steps(soak.root).total(), len(closed_stages(soak.root, EXPERIMENT))
    print(f"{rounds} rounds of {soak.nodes} nodes; {rows} rows of {soak.rounds * soak.nodes}")
    print(f"kills: {soak.kills.total()} ({kills})")
    restarts = {event.text for event in events_of(soak.root, "restarted")}
    resumed = [event.text for event in events_of(soak.root, "resumed")]
    lost = [text for text in resumed if not text.endswith("nothing lost")]
    again = sum("taken again" in text for text in resumed)
    print(
        f"restarts told: {len(restarts)}; nodes resumed: {len(resumed)}, {again} of them with updates taken again"
    )
    for text in lost[:9]:
        print(f"  not whole: {text}")
    for name in SHELLS:
        found = [sample.resident[name] for sample in soak.samples if name in sample.resident]
        print(f"resident memory of the {name}, MB: {_three(found)}")
    after = [sample for sample in soak.samples if sample.round >= 60]
    print("each: first, median, last; those of files after round 60")
    print(f"files in the folder: {_three([s.files for s in after])}")
    print(f"round files among them: {_three([s.rollouts for s in after])}")
    print(f"files on the own disk: {_three([s.own_files for s in after])}")
    print(f"MB on the own disk: {_three([s.own_mb for s in after])}")
    each, calmly = soak.seconds / soak.rounds, calm.seconds / calm.rounds
    calm_one = f"undisturbed {calmly:.2f} s a round ({calm.rounds} rounds)"
    print(f"wall time: {soak.seconds:.0f} s, {each:.2f} s a round; {calm_one}")
    for problem in problems:
        print(f"FAILED: {problem}")


def _three(numbers: Sequence[float]) -> str:
    if not numbers:
        return "-"
    return f"{numbers[0]:.0f}, {statistics.median(numbers):.0f}, {numbers[-1]:.0f}"


if __name__ == "__main__":
    sys.exit(main())
