"""Where an examination takes place, and by what means: the store, the clocks, and the files it has made."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from drive_store.doctor.report import FAIL, Finding
from drive_store.errors import NameTaken, StoreError, errors_of
from drive_store.names import twin_name
from drive_store.paths import ExperimentPaths
from drive_store.store.deadline import Deadline
from drive_store.store.store import Store

T = TypeVar("T")

CHECK = "check"
"""The folder below the root that holds examinations; nothing else writes there."""
DEADLINE_S = 60.0
"""Seconds that a look past the store may take."""
TWIN = re.compile(r" \([1-9][0-9]{0,3}\)")
_MOST_TWINS = 2
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class SessionPaths(ExperimentPaths):
    """The keys of an examination, of which `experiment` is the name; machines register in its folder."""

    shown_as: str = ""
    """Key of the folder where Drive shows a second one, such as ``check/first (1)``; "" for the first."""

    @property
    def folder(self) -> str:
        """The folder of both machines, in which each has one of its own."""
        return self.shown_as or f"{CHECK}/{self.experiment}"

    @property
    def peers_folder(self) -> str:
        """Holds registrations and beats."""
        return self.folder


def boot_id() -> str:
    """What two processes of one machine have in common; "" where that is not known."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _silent(_line: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """What differs between an examination and a test of it."""

    clock: Callable[[], float] = time.monotonic
    """Seconds on a monotonic clock."""
    wall: Callable[[], float] = time.time
    """Seconds since 1970."""
    sleep: Callable[[float], object] = time.sleep
    say: Callable[[str], object] = _silent
    """Takes, in a line, what is waited for."""
    machine: str = field(default_factory=boot_id)
    """What two processes of one machine have in common; "" where that is not known."""

    def timed(self, work: Callable[..., T], *arguments: object) -> tuple[float, T]:
        """How many seconds something takes, and what it answers."""
        began = self.clock()
        answer = work(*arguments)
        return self.clock() - began, answer


@dataclass
class OwnFiles:
    """The files that an examination made, so that it removes these and no others."""

    store: Store
    paths: SessionPaths
    id: str
    """Of this machine, in this examination alone."""
    _sizes: dict[str, int] = field(default_factory=dict)
    _shared: dict[str, bytes] = field(default_factory=dict)
    """What was written in a folder of both machines, where the name alone does not say whose file it is."""

    @property
    def folder(self) -> str:
        """Key of the folder that is its own."""
        return f"{self.paths.folder}/{self.id}"

    def key(self, name: str) -> str:
        """Key of a file in its own folder."""
        return f"{self.folder}/{name}"

    def expect(self, key: str, size: int) -> None:
        """Take a file for its own before it is written: one that is lost on the way is removed like the others."""
        self._sizes[key] = size

    def create(self, key: str, data: bytes) -> None:
        """Create a file; see `Store.create`."""
        self.expect(key, len(data))
        self.store.create(key, data)

    def replace(self, key: str, data: bytes) -> None:
        """Write over a file of its own; see `Store.replace_copy`."""
        self.expect(key, len(data))
        self.store.replace_copy(key, data)

    def create_shared(self, key: str, data: bytes) -> bool:
        """Create a file outside of its own folder, unless its name is taken; whether it did.

        `data` differs from what any other machine writes there.
        """
        try:
            self.store.create(key, data)
        except NameTaken:
            return False
        self._shared[key] = data
        return True

    def remove(self, key: str) -> None:
        """Remove one file."""
        self.store.remove(key)
        self._sizes.pop(key, None)

    def clear(self) -> int:
        """Remove all, and the folder where nothing else is in it.

        Returns:
            The bytes that stay because the store failed; 0 when all is gone.
        """
        with suppress(StoreError):  # what stays is told in bytes
            for key in list(self._shared):
                self._remove_shared(key)
            for key in list(self._sizes):
                self.remove(key)
            if not self.store.names(self.folder):
                self.store.remove_tree(self.folder)
        return sum(self._sizes.values()) + sum(map(len, self._shared.values()))

    def _remove_shared(self, key: str) -> None:
        """Remove a file under whichever name Drive shows it now, and no other machine's of that name."""
        data = self._shared[key]
        for name in (twin_name(key, twin) for twin in range(_MOST_TWINS + 1)):
            if self.store.holds(name, data):
                self.store.remove(name)
        del self._shared[key]


def unlike_text(number: int, size: int) -> str:
    """So many characters that differ for every number and at every place of the text."""
    blocks = (hashlib.sha256(b"%d %d" % (number, block)).hexdigest() for block in range(size // 64 + 1))
    return "".join(blocks)[:size]


def look(path: str, work: Callable[[], T]) -> T | None:
    """Look at something that no method of the store tells, in time; None for a path that does not exist.

    Raises:
        StoreError: from the file system.
    """
    with errors_of("look at", path), suppress(FileNotFoundError):
        return Deadline(DEADLINE_S).call(work)
    return None


def device_of(path: str) -> int | None:
    """The number of the device that holds a path; None for a path that does not exist."""
    return look(path, lambda: Path(path).stat().st_dev)


def tried(
    check: str,
    work: Callable[[], Finding],
    advice: str = "",
    errors: tuple[type[Exception], ...] = (StoreError,),
) -> Finding:
    """What a check finds; one of `errors` is a finding too."""
    try:
        return work()
    except errors as error:
        return Finding(check, FAIL, str(error), advice)
