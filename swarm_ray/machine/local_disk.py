"""This machine's own disk: folders of state and caches, locks that end with their process, and values kept as JSON."""

from __future__ import annotations

import fcntl
import os
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from drive_store import UNREADABLE, StoreFull
from swarm_ray.errors import NodeTakenError


def state_folder() -> Path:
    """`$SWARM_RAY_STATE`, else `$XDG_STATE_HOME/swarm-ray`, else `~/.local/state/swarm-ray`."""
    return _named("STATE", Path(".local", "state"))


def cache_folder() -> Path:
    """`$SWARM_RAY_CACHE`, else `$XDG_CACHE_HOME/swarm-ray`, else `~/.cache/swarm-ray`."""
    return _named("CACHE", Path(".cache"))


def _named(what: str, usual: Path) -> Path:
    own = os.environ.get(f"SWARM_RAY_{what}")
    return Path(own or Path(os.environ.get(f"XDG_{what}_HOME") or Path.home() / usual) / "swarm-ray")


def read_words(path: Path) -> tuple[str, ...]:
    """The words in a small file of this machine's own disk; () without a file.

    Bytes that are not text, as a power cut may leave, spoil the word that holds them and nothing else.
    """
    return tuple(path.read_text(errors="replace").split()) if path.exists() else ()


class Lock(AbstractContextManager["Lock"]):
    """Held by the one process of this machine that does a thing; the system releases it when the process dies.

    Args:
        path: a file on the machine's own disk.
        what: what is locked, for the message.
        shared: several processes may hold it so, and nobody else meanwhile.
        wait: until whoever holds it lets it go.

    Raises:
        NodeTakenError: another living process holds it.
    """

    def __init__(self, path: Path, what: str, *, shared: bool = False, wait: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(self._descriptor, kind if wait else kind | fcntl.LOCK_NB)
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it."""
        self.release()


class LocalJson:
    """One JSON file, replaced as a whole: a killed process leaves either the old value or the new one.

    Args:
        path: on the machine's own disk; None keeps nothing.
        kind: the type of the value.
    """

    def __init__(self, path: Path | None, kind: Any) -> None:
        self._path, self._kind = path, kind
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)

    def load(self) -> Any:
        """The stored value; None if nothing is stored or the format is another version's."""
        if self._path is None or not self._path.exists():
            return None
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=self._kind)
        except UNREADABLE:
            return None

    def save(self, value: Any) -> None:
        """Replace the stored value.

        Raises:
            StoreFull: this machine's disk is full or not writable.
        """
        if self._path is None:
            return
        half = self._path.with_suffix(".half")
        try:
            half.write_bytes(msgspec.json.encode(value))
            half.replace(self._path)
        except OSError as error:
            raise StoreFull(
                f"{self._path} cannot be written: {error}. Free some space on this machine's disk."
            ) from error
