"""Memory of the actors' processes, sampled while they live, so that a death can be explained afterwards."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import psutil

SAMPLE_EVERY_S = 1.0


@dataclass(frozen=True)
class Sample:
    """Memory just before something happened, in bytes."""

    resident: int | None
    """Of the actor; None when its process was not known yet."""
    available: int
    """Of the whole machine, as the system reports it; the minimum of the last few samples."""
    total: int


class ProcessMemory:
    """Samples resident memory about every second."""

    def __init__(self) -> None:
        self._processes: dict[str, psutil.Process] = {}
        self._resident: dict[str, int] = {}
        self._gone: list[str] = []
        self._available: list[int] = []
        self._total = int(psutil.virtual_memory().total)
        self._sampled = float("-inf")

    def follow(self, role: str, pid: int) -> None:
        """Watch a process of this machine from now on; one that has gone is found so by the next sample."""
        try:
            self._processes[role] = psutil.Process(pid)
            self._resident[role] = int(self._processes[role].memory_info().rss)
        except psutil.NoSuchProcess:
            self.forget(role)
            self._gone.append(role)

    def forget(self, role: str) -> None:
        """Watch an actor no longer."""
        self._processes.pop(role, None)

    def sample(self, now: float) -> list[str]:
        """Sample when it is time; answers the actors whose processes have gone since, and forgets those."""
        if now - self._sampled < SAMPLE_EVERY_S:
            return []
        self._sampled = now
        self._available = [*self._available[-4:], int(psutil.virtual_memory().available)]
        gone, self._gone = self._gone, []
        for role, process in list(self._processes.items()):
            try:
                if process.status() == psutil.STATUS_ZOMBIE:
                    gone.append(role)
                self._resident[role] = int(process.memory_info().rss) or self._resident[role]
            except psutil.NoSuchProcess:
                gone.append(role)
            except psutil.AccessDenied:
                continue
        for role in gone:
            self.forget(role)
        return gone

    def last(self, role: str) -> Sample:
        """What was seen last of an actor."""
        now = int(psutil.virtual_memory().available)
        return Sample(self._resident.get(role), min([now, *self._available]), self._total)

    def end_all(self) -> None:
        """End every process that is watched: what held them together has gone."""
        for process in self._processes.values():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._processes = {}
