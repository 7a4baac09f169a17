"""What a tracker is: the figures that it is given, the thread that gives them, and the files that it writes."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

from drive_store import ExperimentStore, NameTaken
from swarm_ray.errors import SwarmError
from swarm_ray.records.metrics import Evaluation, StepMetrics


class TrackerFailed(SwarmError):
    """A tracker cannot continue; the experiment's own logs are not affected."""


@dataclass(frozen=True)
class TrackedStep:
    """The figures of a node at one of its steps."""

    node: str
    incarnation: str
    step: int
    figures: Mapping[str, float]
    """By name; what belongs to a specialty, a phase or the like has that after a slash."""


class Tracker(Protocol):
    """Logs the figures of one worker's nodes; one thread uses it."""

    @property
    def name(self) -> str:
        """As the configuration calls it."""
        ...

    def log(self, step: TrackedStep) -> None:
        """Take figures; a node's steps never decrease.

        Raises:
            TrackerFailed: it cannot be taken, and the next one could not either.
        """
        ...

    def close(self) -> None:
        """Finish what was taken.

        Raises:
            TrackerFailed: not all of it was.
        """
        ...


def tracked_evaluation(evaluation: Evaluation, incarnation: str, step: int) -> TrackedStep:
    """What held-out pass@1 tells: `pass_at_1/start`, `pass_at_1/end`, and the same of each specialty."""
    when, passed = evaluation.when, evaluation.pass_at_1
    found = {} if passed is None else {when: passed}
    told = _under("pass_at_1", found) | _under(f"pass_at_1_{when}", evaluation.by_specialty)
    return TrackedStep(evaluation.node, incarnation, step, told)


def tracked_row(row: StepMetrics) -> TrackedStep:
    """What a row tells: its numbers by name.

    A missing figure, such as the loss of a step that was not taken, is left out.
    """
    counters = row.counters
    plain: dict[str, float | None] = {
        "round": row.round,
        "step": row.step,
        "reward": row.reward,
        "reward_mixed": row.reward_mixed,
        "local": row.local,
        "external": row.external,
        "offered": counters.offered,
        "used": counters.used,
        "rejected": sum(counters.rejected.values()),
        "zero_advantage_local": counters.zero_advantage_local,
        "zero_advantage_external": counters.zero_advantage_external,
        "generated_tokens": counters.generated_tokens,
        "loss": row.loss,
        "clip_share": row.clip_share,
        "entropy": row.entropy,
        "grad_norm": row.grad_norm,
        "unfaithful": row.unfaithful,
        "scoring_failures": row.scoring_failures,
        "alone": row.alone,
    }
    found = {name: float(value) for name, value in plain.items() if value is not None}
    found |= _under("reward_by_specialty", row.reward_by_specialty) | _under("seconds", row.seconds)
    if row.store is not None:
        use = row.store.operations | {
            "bytes_read": row.store.bytes_read,
            "bytes_written": row.store.bytes_written,
        }
        found |= _under("store", use)
    return TrackedStep(row.node, row.incarnation, row.step, found)


def _under(group: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f"{group}/{name}": float(value) for name, value in values.items()}


class TrackerFeed:
    """A thread that gives figures to every tracker, one after another.

    A tracker that fails is reported once and gets no more of them until its process starts again: what it missed is in
    the experiment's own logs.

    Args:
        trackers: what is fed.
        tell: takes one line about a tracker that failed; called from the thread.
    """

    def __init__(self, trackers: Sequence[Tracker], tell: Callable[[str], None]) -> None:
        self._trackers, self._tell = list(trackers), tell
        self._waiting: SimpleQueue[TrackedStep | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._feed, name="trackers", daemon=True)
        if self._trackers:
            self._thread.start()

    def log(self, step: TrackedStep) -> None:
        """Take figures; returns at once."""
        if self._trackers and step.figures:
            self._waiting.put(step)

    def close(self, within_s: float) -> bool:
        """Close every tracker when it has had its figures; harmless when repeated.

        Returns:
            False when that was not done in time; it continues in the background then.
        """
        if self._thread.ident is None:
            return True
        self._waiting.put(None)
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _feed(self) -> None:
        failed = list[Tracker]()
        while (step := self._waiting.get()) is not None:
            for tracker in [tracker for tracker in self._trackers if tracker not in failed]:
                try:
                    tracker.log(step)
                except TrackerFailed as error:
                    failed.append(tracker)
                    self._tell(f"{tracker.name}: {error}; it is off until the next start")
        for tracker in self._trackers:
            try:
                tracker.close()
            except TrackerFailed as error:
                if tracker not in failed:
                    self._tell(f"{tracker.name}: {error}")


class TrackerFiles:
    """The files of a worker's trackers, a folder for each incarnation of a node.

    They lie on this machine's own disk first, since Drive has no append, and go whole into the nodes' logs.

    Args:
        experiment: the experiment in the shared folder.
        folder: on this machine's own disk, this worker's alone.
    """

    def __init__(self, experiment: ExperimentStore, folder: Path) -> None:
        self._store, self._paths, self._folder = experiment.store, experiment.paths, folder

    def home(self, node: str, incarnation: str) -> Path:
        """Where trackers write what is about one incarnation."""
        home = self._folder / f"{node}.{incarnation}"
        home.mkdir(parents=True, exist_ok=True)
        return home

    @property
    def waiting(self) -> bool:
        """Whether there is something to copy."""
        return any(self._folder.glob("*.*"))

    def copy_all(self) -> None:
        """Copy everything to the shared folder, and remove it here; all trackers must be closed.

        Raises:
            StoreError: the folder cannot be written; what was not copied is still here.
        """
        for home in sorted(self._folder.glob("*.*")):
            node, _, incarnation = home.name.partition(".")
            logs = self._paths.logs_folder(node, incarnation)
            for place, files in _runs(home):
                self._copy(f"{logs}/{place}", files)
            shutil.rmtree(home)

    def _copy(self, folder: str, files: dict[str, Path]) -> None:
        """Copy the files of one run, into a folder of another name where a copy was left that is not whole."""
        for attempt in itertools.count():
            if self._copied(f"{folder}-{attempt}" if attempt else folder, files):
                return

    def _copied(self, folder: str, files: dict[str, Path]) -> bool:
        """Whether all files lie in `folder` now; False when a name there is taken by something else."""
        self._store.make_folder(folder)
        for name, path in files.items():
            key = f"{folder}/{name}"
            if "/" in name:
                self._store.make_folder(key.rpartition("/")[0])
            try:
                self._store.put_file(key, path)
            except NameTaken:
                if not self._store.holds(key, path.read_bytes()):
                    return False
        return True


def _runs(home: Path) -> Iterator[tuple[str, dict[str, Path]]]:
    """What there is to copy: a folder's place below the incarnation's logs, and its files by name.

    Debugging logs of wandb stay here, and TensorBoard's names lose the host's name that is in them.
    """
    for run in sorted(path for path in home.glob("wandb/*run-*") if path.is_dir() and not path.is_symlink()):
        found = [*run.glob("*.wandb"), *[path for path in run.glob("files/**/*") if path.is_file()]]
        files = {path.relative_to(run).as_posix(): path for path in sorted(found)}
        if files:
            yield f"wandb/{run.name}", files
    events = {}
    for path in sorted(home.glob("tensorboard/events.out.tfevents.*")):
        began, (_, process, number) = path.name.split(".")[3], path.name.rsplit(".", 2)
        events[f"events.out.tfevents.{began}.{process}.{number}"] = path
    if events:
        yield "tensorboard", events
