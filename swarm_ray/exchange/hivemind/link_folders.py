"""Folders on this machine in which links keep their sockets; each says whose it is, so that none stays for ever."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

_SPACE = Path("/proc/self/ns/pid")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def own_folder() -> str:
    """A new empty folder of this process, which nobody else may enter; those of processes that have gone are removed.

    Whoever is killed with its link at one blow leaves one behind.

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
