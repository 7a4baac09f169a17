"""Segments: metrics and events as closed files of JSON lines.

Drive has no append, so rows gather in a file on the machine's own disk and go to the store as numbered
segments that are written once. A JSONL file that was cut off at a line's end looks complete; so the last
line of a segment counts and hashes the rows above it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Literal

import msgspec

from drive_store.envelope import payload_sha256
from drive_store.errors import NameTaken, NotAFile, TooLarge
from drive_store.experiment_store import ExperimentStore
from drive_store.names import parse_segment_name, twin_name
from drive_store.store.store import Store

MAX_SEGMENT = 64 << 20
"""The most bytes a segment may have."""

SegmentKind = Literal["metrics", "events"]


class _Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    segment: int
    rows: int
    sha256: str


class SegmentWriter:
    """Gathers rows of one incarnation and writes them as segments.

    Args:
        experiment: where segments go.
        node: the writer.
        incarnation: its process life.
        kind: "metrics" or "events".
        spool: a file on the machine's own disk. Rows that a killed process left there are taken over.
        start: the number of the first segment.
    """

    def __init__(
        self,
        experiment: ExperimentStore,
        node: str,
        incarnation: str,
        kind: SegmentKind,
        spool: Path,
        start: int = 0,
    ) -> None:
        self._store, self._spool = experiment.store, spool
        self._key = partial(experiment.paths.segment, node, incarnation, kind)
        self.next = start
        """The number of the segment that is gathering."""
        spool.parent.mkdir(parents=True, exist_ok=True)
        left = spool.read_bytes() if spool.exists() else b""
        whole = left[: left.rfind(b"\n") + 1]  # a process that was killed may leave half a row
        spool.write_bytes(whole)
        self.pending = len(whole)
        """Bytes that wait in the spool."""

    def append(self, row: bytes) -> None:
        """Add a row: JSON on one line, without the line's end.

        Raises:
            ValueError: the row has a line's end in it.
            OSError: this machine's disk is full or not writable.
        """
        if b"\n" in row:
            raise ValueError("A row of a segment must be one line. Encode it without line ends.")
        with self._spool.open("ab") as file:
            file.write(row + b"\n")
        self.pending += len(row) + 1

    def close_segment(self) -> str | None:
        """Write the rows that wait as one segment, and empty the spool.

        Returns:
            The segment's key; None when no row waits.

        Raises:
            StoreError: it could not be written. The rows stay in the spool, and the next call tries again, under the
                next number if this one is used up.
        """
        if not self.pending:
            return None
        rows = self._spool.read_bytes()
        while True:
            key = self._key(self.next)
            try:
                self._store.create_once(key, rows + _seal_line(rows, self.next))
                break
            except NameTaken:
                self.next += 1
        self._spool.write_bytes(b"")
        self.pending = 0
        self.next += 1
        return key


def read_segments(
    experiment: ExperimentStore,
    node: str,
    incarnation: str,
    kind: SegmentKind,
    problems: list[str] | None = None,
) -> Iterator[bytes]:
    """Read the rows that an incarnation logged, in order, of all segments that are whole.

    Args:
        experiment: where they are.
        node: the writer.
        incarnation: its process life.
        kind: "metrics" or "events".
        problems: takes a line for each segment that is torn or missing.

    Yields:
        Rows, without line ends.

    Raises:
        StoreError: the store itself cannot be read.
    """
    reported = problems if problems is not None else []
    folder = experiment.paths.logs_folder(node, incarnation)
    names = [
        name for text in experiment.store.names(folder) if (name := parse_segment_name(text)) is not None
    ]
    copies = sorted((name.n, name.twin) for name in names if name.kind == kind)
    expected = 0
    for n, twins in groupby(copies, key=itemgetter(0)):
        reported.extend(f"{folder}/{kind}-{gap:06d}.jsonl is not there" for gap in range(expected, n))
        expected = n + 1
        key = experiment.paths.segment(node, incarnation, kind, n)
        rows = _first_whole(experiment.store, [twin_name(key, twin) for _, twin in twins], n)
        if rows is None:
            reported.append(f"{key} is torn or damaged; its rows were left out")
        else:
            yield from rows.split(b"\n")[:-1]


def _first_whole(store: Store, keys: list[str], n: int) -> bytes | None:
    for key in keys:
        with suppress(TooLarge, NotAFile):
            rows = _rows(store.read(key, MAX_SEGMENT) or b"", n)
            if rows is not None:
                return rows
    return None


def _rows(data: bytes, n: int) -> bytes | None:
    """Take the rows of a segment; None unless its last line says that they are whole."""
    rows = data[: data.rfind(b"\n", 0, -1) + 1]
    return rows if data[len(rows) :] == _seal_line(rows, n) else None


def _seal_line(rows: bytes, n: int) -> bytes:
    return msgspec.json.encode(_Seal(segment=n, rows=rows.count(b"\n"), sha256=payload_sha256(rows))) + b"\n"
