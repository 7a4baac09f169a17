"""Points in a round at which a trainer stops until somebody was killed, and a diary of all weights.

A swarm of the tests names this module in `tasks.modules`, so that it is imported in the trainers' processes. There it
puts itself around the functions of the phases, if the environment asks for it; elsewhere it does nothing.
"""

import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec

ENVIRONMENT = "SWARM_RAY_KILL_POINT"
WAITS_S = 60.0
PHASES = ("generate", "publish", "gather", "update", "upload", "manifest", "folder-manifest")
"""`manifest` is that of a checkpoint on the own disk, `folder-manifest` that of its copy in the folder."""
SECOND_FILE = "optimizer.safetensors"


class Entry(msgspec.Struct, frozen=True):
    """A line of the diary."""

    what: str
    """step or restored."""
    node: str
    step: int
    sha256: str
    """Over all parameters and all that the optimizer keeps."""


class KillPoint(msgspec.Struct, frozen=True):
    """Where to stop, once over all processes."""

    folder: str
    """Holds the files by which the test and the trainer speak."""
    phase: str
    count: int
    """The how-manieth time in the life of a process, counted since the point before was passed."""
    number: int = 0

    @property
    def reached(self) -> Path:
        """Made by the trainer that stops; holds its process id."""
        return Path(self.folder, f"reached-{self.number}")

    @property
    def go(self) -> Path:
        """Made by the test when the victim is dead."""
        return Path(self.folder, f"go-{self.number}")

    @property
    def before(self) -> Path | None:
        """Made when the point before this one was passed."""
        return Path(self.folder, f"go-{self.number - 1}") if self.number else None


class Plan(msgspec.Struct, frozen=True):
    """The points of a run, one after the other, and its diary."""

    folder: str
    points: tuple[KillPoint, ...] = ()

    def diary(self) -> list[Entry]:
        """A line for each node after each step, and after each restore."""
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        return [msgspec.json.decode(line, type=Entry) for line in lines]

    @property
    def path(self) -> Path:
        """Of the diary."""
        return Path(self.folder, "diary.jsonl")

    def environment(self) -> dict[str, str]:
        """For the command."""
        return {ENVIRONMENT: msgspec.json.encode(self).decode()}


def plan(folder: Path, *points: tuple[str, int]) -> Plan:
    """Stop at each of these phases, at its n-th visit."""
    return Plan(str(folder), tuple(KillPoint(str(folder), *p, number=n) for n, p in enumerate(points)))


class Stopper:
    """Stops the process once, over all processes, at the point's n-th visit.

    Args:
        point: which.
    """

    def __init__(self, point: KillPoint) -> None:
        self._point, self._visits, self._lock = point, 0, threading.Lock()

    def visit(self) -> None:
        """Stop here if it is time, until the test says continue."""
        before = self._point.before
        if before is not None and not before.exists():
            return
        with self._lock:
            self._visits += 1
            if self._visits != self._point.count or self._point.reached.exists():
                return
        whole = self._point.reached.with_suffix(f".{os.getpid()}")
        whole.write_text(str(os.getpid()))
        try:
            os.link(whole, self._point.reached)
        except FileExistsError:  # another trainer was first
            return
        deadline = time.monotonic() + WAITS_S
        while not self._point.go.exists() and time.monotonic() < deadline:
            time.sleep(0.01)


def install(whole: Plan) -> None:
    """Put each stop into its phase, and keep the diary."""
    _keep_diary(whole)
    for point in whole.points:
        _INSTALL[point.phase](Stopper(point).visit)


def _generate(visit: Callable[[], None]) -> None:
    from swarm_ray.policies import policy

    sample = vars(policy)["sample_completions"]

    def stopped(*arguments: Any) -> Any:
        *given, check_cancelled = arguments

        def at_token() -> None:
            check_cancelled()
            visit()

        return sample(*given, at_token)

    patch.object(policy, "sample_completions", stopped).start()


def _publish(visit: Callable[[], None]) -> None:
    from drive_store import Spool

    _before(Spool, "_write", visit)


def _gather(visit: Callable[[], None]) -> None:
    from swarm_ray.exchange.folder import FolderExchange

    _before(FolderExchange, "gather", visit)


def _update(visit: Callable[[], None]) -> None:
    import torch

    step: Any = torch.optim.Adam.step

    def stopped(optimizer: Any, *arguments: Any) -> Any:
        done = step(optimizer, *arguments)
        visit()
        return done

    patch.object(torch.optim.Adam, "step", stopped).start()


def _upload(visit: Callable[[], None]) -> None:
    from drive_store import Store

    _before(Store, "put_file", visit, when=lambda key: key.endswith(SECOND_FILE))


def _manifest(visit: Callable[[], None]) -> None:
    from drive_store.checkpoints import local as checkpoints

    _before(checkpoints, "seal_manifest", visit)


def _folder_manifest(visit: Callable[[], None]) -> None:
    from drive_store.checkpoints import stored as stored_checkpoints

    _before(stored_checkpoints, "seal_manifest", visit)


_INSTALL = dict(
    zip(PHASES, (_generate, _publish, _gather, _update, _upload, _manifest, _folder_manifest), strict=True)
)


def _before(
    owner: Any, name: str, visit: Callable[[], None], when: Callable[[Any], bool] | None = None
) -> None:
    """Visit the point before each call; `when` is asked about the last but one argument."""
    original = getattr(owner, name)

    def stopped(*arguments: Any, **named: Any) -> Any:
        if when is None or when(arguments[-2]):
            visit()
        return original(*arguments, **named)

    patch.object(owner, name, stopped).start()


def _keep_diary(whole: Plan) -> None:
    from actors.trainer import restoring
    from swarm_ray.checkpointing.writer import Checkpointer

    after_round, apply = Checkpointer.after_round, vars(restoring)["apply"]

    def noted(checkpointer: Any, nodes: Any, make_state: Any) -> Any:
        for node in nodes:
            _note(whole.path, Entry("step", node.id, node.step, _sha256(node.policy)))
        return after_round(checkpointer, nodes, make_state)

    def noted_restore(found: Any, policy: Any, *arguments: Any) -> None:
        apply(found, policy, *arguments)
        _note(whole.path, Entry("restored", found.state.node, found.state.step, _sha256(policy)))

    patch.object(Checkpointer, "after_round", noted).start()
    patch.object(restoring, "apply", noted_restore).start()


def _sha256(policy: Any) -> str:
    found = hashlib.sha256()
    for name, parameter in policy.model.named_parameters():
        found.update(name.encode())
        found.update(parameter.detach().cpu().numpy().tobytes())
        for what, value in sorted(policy.optimizer.state.get(parameter, {}).items()):
            found.update(what.encode())
            found.update(value.detach().cpu().numpy().tobytes())
    return found.hexdigest()


def _note(path: Path, entry: Entry) -> None:
    """One write, so that lines of several trainers do not mix and none is torn."""
    line = msgspec.json.encode(entry) + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


if ENVIRONMENT in os.environ and "actors.trainer.trainer" in sys.modules:
    install(msgspec.json.decode(os.environ[ENVIRONMENT], type=Plan))
