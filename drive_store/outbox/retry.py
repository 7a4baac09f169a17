"""When a published file is published again: what is known of the files that are on their way."""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import ceil

from drive_store.outbox.disk import SpoolEntry
from drive_store.published import PublishedFile
from drive_store.store.store import Store

OBSERVED = 200
"""How many of the last answers count."""
MARGIN = 3
"""So many times the observed delay a file may be on its way."""
UPLOADED_WAITS = 3
"""So many waits a file is given that Drive says it has uploaded: only the others' view of it is late."""
PROBES = 4
"""Looks at a file per wait."""


class OnTheWay:
    """The files that this process has sent and no record has answered, and how long answers take.

    Args:
        store: where the files are.
        retry_s: seconds that a file may go unanswered at least.
        clock: monotonic seconds.
    """

    def __init__(self, store: Store, retry_s: float, clock: Callable[[], float]) -> None:
        self._store, self._retry_s, self._clock = store, retry_s, clock
        self._began = clock()
        self._sent: dict[str, tuple[float, PublishedFile]] = {}
        self._probed: dict[str, float] = {}
        self._uploaded: set[str] = set()
        self._damaged: set[str] = set()
        self._delays: tuple[float, ...] = ()  # replaced as a whole: another thread may be reading it

    @property
    def wait_s(self) -> float:
        """Seconds that a file may go unanswered: three times the 99th percentile of delays, or `retry_s`."""
        return max(MARGIN * percentile_99(self._delays), self._retry_s)

    def add(self, file: PublishedFile) -> None:
        """Take note that a file was sent now."""
        now = self._clock()
        self._sent[file.key] = (now, file)
        self._probed[file.key] = now

    def sent(self, key: str) -> PublishedFile | None:
        """The file of a key, if this process has sent it."""
        return self._sent[key][1] if key in self._sent else None

    def answered(self, entry: SpoolEntry, key: str) -> None:
        """Take note that an answer came now.

        Args:
            entry: what was answered.
            key: which of its files; "" where that is not known. Of an entry that was sent more than once the delay is
                then not known either: counted from the first or from the last it would drift.
        """
        first = key or (entry.keys[0] if len(entry.keys) == 1 else "")
        if first in self._sent:
            self._delays = (*self._delays, self._clock() - self._sent[first][0])[-OBSERVED:]

    def spoil(self, key: str) -> None:
        """Take note that a file is of no use to others."""
        self._damaged.add(key)

    def forget(self, keys: Collection[str]) -> None:
        """Drop what is known of files."""
        for key in keys:
            self._sent.pop(key, None)
            self._probed.pop(key, None)
            self._uploaded.discard(key)
            self._damaged.discard(key)

    def due(self, entry: SpoolEntry) -> bool:
        """Say whether an unanswered entry is to be published now.

        Raises:
            StoreError: its file cannot be looked at.
        """
        if not entry.size or entry.keys[-1] in self._damaged:
            return True
        key, now = entry.keys[-1], self._clock()
        waited = now - (self._sent[key][0] if key in self._sent else self._began)
        if waited >= UPLOADED_WAITS * self.wait_s or (waited >= self.wait_s and not self._is_uploaded(key)):
            return True
        if now - self._probed.get(key, self._began) < self.wait_s / PROBES:
            return False
        self._probed[key] = now
        return self._store.size(key) != entry.size

    def _is_uploaded(self, key: str) -> bool:
        if key not in self._uploaded and self._store.uploaded(key):
            self._uploaded.add(key)
        return key in self._uploaded


def percentile_99(values: Collection[float]) -> float:
    """The 99th percentile by nearest rank: of fewer than 100 values the largest, and 0 of none."""
    ranked = sorted(values)
    return ranked[ceil(0.99 * len(ranked)) - 1] if ranked else 0.0
