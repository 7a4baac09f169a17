"""Where this machine keeps what it must not lose: checkpoints, spools and logs that wait, and who is at work."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from drive_store import Store, StoreUnavailable
from swarm_ray.errors import NodeTakenError
from swarm_ray.experiments.folder import MAX_IDENTITY, ExperimentAddress

_RUN_LOCK = "run.lock"


def state_folder() -> Path:
    """`$SWARM_RAY_STATE`, else `$XDG_STATE_HOME/swarm-ray`, else `~/.local/state/swarm-ray`."""
    named = os.environ.get("SWARM_RAY_STATE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "swarm-ray"


def experiment_state(address: ExperimentAddress) -> Path:
    """This machine's own folder for an experiment.

    It is named after the experiment and its sentinel, so that one that was overwritten starts with nothing, and one
    whose root was moved or mounted elsewhere finds its own again.

    Raises:
        StoreUnavailable: the experiment's folder cannot be read.
    """
    sentinel = Store(address.root).read(address.paths.experiment_json, MAX_IDENTITY)
    if sentinel is None:
        raise StoreUnavailable(f"{address.root}/{address.paths.experiment_json} is not there; is it mounted?")
    return state_folder() / f"{address.experiment}-{hashlib.sha256(sentinel).hexdigest()[:12]}"


def hold_for_run(address: ExperimentAddress) -> Lock:
    """Say, for as long as it is held, that a process of this machine runs the experiment; several may.

    Raises:
        StoreUnavailable: the experiment's folder cannot be read.
        NodeTakenError: the experiment is just being removed.
    """
    return Lock(experiment_state(address) / _RUN_LOCK, f"experiment {address.experiment}", shared=True)


def is_run_here(address: ExperimentAddress) -> bool:
    """Whether a living process of this machine runs the experiment, from its first moment on.

    Raises:
        StoreUnavailable: the experiment's folder cannot be read.
    """
    path = experiment_state(address) / _RUN_LOCK
    if not path.exists():
        return False
    try:
        Lock(path, address.experiment).release()
    except NodeTakenError:
        return True
    return False


def read_words(path: Path) -> tuple[str, ...]:
    """The words in a small file of this machine's own disk; none where there is no file.

    Bytes that are no text, as a power cut may leave, spoil the word they stand in and nothing else.
    """
    return tuple(path.read_text(errors="replace").split()) if path.exists() else ()


class Lock:
    """Held by the one process of this machine that does a thing; the system releases it when the process dies.

    Args:
        path: a file on the machine's own disk.
        what: what is locked, for the message.
        shared: several processes may hold it so, and nobody else meanwhile.

    Raises:
        NodeTakenError: another living process holds it.
    """

    def __init__(self, path: Path, what: str, *, shared: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise NodeTakenError(
                f"{what} is in the hands of another process of this machine; end that one, or take another name"
            ) from error

    def release(self) -> None:
        """Let others have it; harmless when repeated."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        """It is held already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it."""
        self.release()
