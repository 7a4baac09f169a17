"""Where this machine keeps what it must not lose and what can be made again, and locks that end with their process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from swarm_ray.errors import NodeTakenError


def state_folder() -> Path:
    """`$SWARM_RAY_STATE`, else `$XDG_STATE_HOME/swarm-ray`, else `~/.local/state/swarm-ray`."""
    named = os.environ.get("SWARM_RAY_STATE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "swarm-ray"


def cache_folder() -> Path:
    """`$SWARM_RAY_CACHE`, else `$XDG_CACHE_HOME/swarm-ray`, else `~/.cache/swarm-ray`."""
    named = os.environ.get("SWARM_RAY_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swarm-ray"


def read_words(path: Path) -> tuple[str, ...]:
    """The words in a small file of this machine's own disk; () without a file.

    Bytes that are not text, as a power cut may leave, spoil the word that holds them and nothing else.
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
