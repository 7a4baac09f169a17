"""Many small files on one machine: how fast they are written, read and listed, and whether all come back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from drive_store.doctor.findings import FAIL, OK, WARN, Finding, seconds, spread_of
from drive_store.doctor.ground import Means, OwnFiles
from drive_store.doctor.writing import NOT_AS_WRITTEN

SMALL = 1024
"""Bytes of a small file."""
BUDGET_S = 120.0
"""Seconds after which no further small file is begun."""
SLOW_WRITE_S = 5.0
SLOW_LISTING_S = 10.0
_TOLD_FROM = 200


@dataclass
class _Files:
    """What became of the small files."""

    written: list[str] = field(default_factory=list)
    write_s: list[float] = field(default_factory=list)
    listing_s: dict[int, float] = field(default_factory=dict)
    unlisted: int = 0


def many_files(own: OwnFiles, means: Means, counts: tuple[int, ...]) -> list[Finding]:
    """Write files up to each count, list them at each, and read all of them.

    Raises:
        StoreError: the store failed on the way.
    """
    files = _Files()
    began = means.clock()
    for count in counts:
        if count >= _TOLD_FROM:
            means.say(f"writing {count} small files, to see how long a listing takes")
        while len(files.written) < count and means.clock() - began < BUDGET_S:
            _write_one(own, means, files)
        _list(own, means, files)
    return [_speed(files), *_read_all(own, means, files), _listings(files)]


def _content(number: int) -> bytes:
    """Bytes that differ in every file and at every place of it."""
    blocks = (hashlib.sha256(b"%d %d" % (number, block)).digest() for block in range(SMALL // 32))
    return b"".join(blocks)


def _write_one(own: OwnFiles, means: Means, files: _Files) -> None:
    key = own.key(f"small-{len(files.written):04d}.bin")
    began = means.clock()
    own.create(key, _content(len(files.written)))
    files.write_s.append(means.clock() - began)
    files.written.append(key)


def _list(own: OwnFiles, means: Means, files: _Files) -> None:
    began = means.clock()
    names = set(own.store.names(own.folder))
    files.listing_s[len(files.written)] = means.clock() - began
    files.unlisted = sum(key.rpartition("/")[2] not in names for key in files.written)


def _speed(files: _Files) -> Finding:
    figures = spread_of(files.write_s, "write")
    total = sum(files.write_s)
    figures["writes_per_s"] = round(len(files.write_s) / total, 3) if total > 0 else 0.0
    p99 = figures["write_p99_s"]
    slow = p99 > SLOW_WRITE_S
    return Finding(
        check="small writes",
        level=WARN if slow else OK,
        found=f"{seconds(figures['write_p50_s'])} each, p99 {seconds(p99)}"
        + (f", {figures['writes_per_s']:.0f} a second" if total > 0 else ""),
        advice="Give fewer nodes to each machine and longer rounds: every node writes a file per round."
        if slow
        else "",
        figures=figures,
    )


def _read_all(own: OwnFiles, means: Means, files: _Files) -> list[Finding]:
    took: list[float] = []
    gone = changed = 0
    for number, key in enumerate(files.written):
        began = means.clock()
        data = own.store.read(key, SMALL * 2)
        took.append(means.clock() - began)
        gone += data is None
        changed += data is not None and data != _content(number)
    figures = spread_of(took, "read") | {"gone": float(gone), "changed": float(changed)}
    bad = gone or changed
    found = f"{gone} of {len(took)} files are not there, {changed} are not as they were written"
    return [
        Finding(
            check="read back",
            level=FAIL if bad else OK,
            found=found
            if bad
            else f"{len(took)} files read as written, {seconds(figures['read_p50_s'])} each",
            advice=NOT_AS_WRITTEN if bad else "",
            figures=figures,
        )
    ]


def _listings(files: _Files) -> Finding:
    figures = {f"listing_{count}_s": round(took, 6) for count, took in files.listing_s.items()}
    figures["unlisted"] = float(files.unlisted)
    slow = max(files.listing_s.values()) > SLOW_LISTING_S
    found = ", ".join(f"{seconds(took)} at {count} files" for count, took in files.listing_s.items())
    advice = []
    if files.unlisted:
        found += f"; {files.unlisted} files that this machine wrote are not in it"
        advice.append("Listings lag behind; readers ask again.")
    if slow:
        advice.append("Set retention.rounds low, so that folders stay small, and pace.poll_max_s high.")
    return Finding(
        check="listing",
        level=WARN if advice else OK,
        found=found,
        advice=" ".join(advice),
        figures=figures,
    )
