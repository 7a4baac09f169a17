"""No process stays when the one that it served has gone, however that ended.

A node's process owns the link's process, which owns p2pd. The link's process ends with its owner: it sees the socket
close, and looks whether its parent is still the owner, for another process may have inherited the socket. p2pd ends by
itself when the link's process has gone, unless it hangs or is just starting; so the system (Linux) is asked to end it,
and the owner, when it sees the link's process go, ends it, too.
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

LOOK_S = 0.5
_PR_SET_PDEATHSIG = 1


class OwnedProcessLoop(asyncio.SelectorEventLoop):
    """An event loop whose subprocesses die with this process."""

    daemon: int | None = None
    """Process id of the one that it started last."""
    serves = False
    """Set when the daemon is up: from then on this process is nothing without it."""

    async def subprocess_exec(self, protocol_factory: Callable[[], Any], *args: Any, **kwargs: Any) -> Any:
        """Start a program as every event loop does."""
        transport, protocol = await super().subprocess_exec(
            protocol_factory, *args, preexec_fn=_dies_with_parent(), **kwargs
        )
        self.daemon = transport.get_pid()
        return transport, protocol


def _dies_with_parent() -> Callable[[], object] | None:
    """What a forked process does so that the system ends it with its parent; None where the system cannot."""
    if not sys.platform.startswith("linux"):
        return None
    # Looked up before the fork, after which little is safe.
    return partial(ctypes.CDLL(None).prctl, _PR_SET_PDEATHSIG, signal.SIGKILL)


class Cleanup:
    """What must not stay when this process ends: its daemon and its folder."""

    def __init__(self, loop: OwnedProcessLoop, folder: Path) -> None:
        self._loop, self._folder = loop, folder

    def watch(self, owner: int) -> None:
        """End this process, from a thread of its own, as soon as the owner is its parent no more or p2pd has gone."""
        threading.Thread(target=self._watch, args=(owner,), name="owner-watch", daemon=True).start()

    def clear(self) -> None:
        """End the daemon and remove the folder; harmless when repeated."""
        if self._loop.daemon is not None:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._loop.daemon, signal.SIGKILL)
                os.waitpid(self._loop.daemon, 0)  # else it stays a zombie where process 1 waits for none
        shutil.rmtree(self._folder, ignore_errors=True)

    def _watch(self, owner: int) -> None:
        while (served := os.getppid() == owner) and (not self._loop.serves or _lives(self._loop.daemon)):
            time.sleep(LOOK_S)
        if served:
            os.write(2, b"p2pd ended\n")  # the owner reads it
        self.clear()
        os._exit(1)


def _lives(daemon: int | None) -> bool:
    """Whether p2pd has not ended; it is our own subprocess, and a zombie until the event loop sees it."""
    try:
        return bool(psutil.Process(daemon).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


_SPACE = Path("/proc/self/ns/pid")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def make_socket_folder() -> str:
    """A new empty folder that only this user may enter; folders of ended processes are removed.

    A process that is killed together with its link leaves one behind.

    Raises:
        OSError: it cannot be made.
    """
    prefix = f"swarm-ray-link-{_here()}-"
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        owner = re.match(r"(\d+)-", folder.name.removeprefix(prefix))
        if owner is not None and not psutil.pid_exists(int(owner[1])) and _is_ours(folder):
            shutil.rmtree(folder, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-")


def _here() -> str:
    """Where a process id means a process: this machine since it was started, and what of it this process sees."""
    parts = [platform.node()]
    with suppress(OSError):
        parts += [_BOOT.read_text(), str(_SPACE.readlink())]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:8]


def _is_ours(folder: Path) -> bool:
    with suppress(OSError):
        return folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
    return False


@contextmanager
def key_file(key: bytes | None, folder: Path) -> Iterator[str | None]:
    """The path at which p2pd finds a key while it starts; None without a key.

    On Linux the file is in memory alone and goes with the process; elsewhere it lies in the folder until p2pd is up.

    Args:
        key: of the node, in libp2p's form.
        folder: readable by this user only.
    """
    if key is None:
        yield None
    elif hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("identity"), "wb", buffering=0) as memory:
            memory.write(key)
            yield f"/proc/{os.getpid()}/fd/{memory.fileno()}"
    else:
        with tempfile.NamedTemporaryFile(dir=folder, buffering=0) as file:
            file.write(key)
            yield file.name
