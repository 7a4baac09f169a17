"""Folders on this machine in which links keep their sockets; each says whose it is, so that none stays for ever."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

_NAME = re.compile(r"swarm-ray-link-(\d+)-.*")


def own_folder() -> str:
    """A new empty folder of this process, which nobody else may enter; those of processes that have gone are removed.

    Whoever is killed with its link at one blow leaves one behind.

    Raises:
        OSError: it cannot be made.
    """
    for folder in Path(tempfile.gettempdir()).glob("swarm-ray-link-*"):
        owner = _NAME.fullmatch(folder.name)
        if owner is not None and not psutil.pid_exists(int(owner[1])) and _is_ours(folder):
            shutil.rmtree(folder, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"swarm-ray-link-{os.getpid()}-")


def _is_ours(folder: Path) -> bool:
    with suppress(OSError):
        return folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
    return False
