"""What one machine finds when it writes, reads, lists and removes files of its own, one and many small ones."""

from __future__ import annotations

from dataclasses import dataclass, field

from drive_store.doctor.report import FAIL, OK, WARN, Finding, seconds, spread_of
from drive_store.doctor.workspace import Means, OwnFiles, unlike_text
from drive_store.errors import NameTaken

CLOCK_S = 120.0
"""Seconds by which two clocks may differ before people are misled."""
NOT_AS_WRITTEN = (
    "Run no swarm here: what it writes would be lost or changed. Mount the folder again, then look."
)


def one_file(own: OwnFiles) -> Finding:
    """Can a file be written, read, and not be written again?"""
    key, data = own.key("first.txt"), b"written by swarm-ray doctor\n"
    own.create(key, data)
    if own.store.read(key, len(data) + 1) != data:
        return Finding(
            check="writing",
            level=FAIL,
            found="a file that was written cannot be read back",
            advice=NOT_AS_WRITTEN,
        )
    try:
        own.store.create(key, b"again")
    except NameTaken:
        return Finding(
            check="writing", level=OK, found="a new file reads as written; its name cannot be taken again"
        )
    return Finding(
        check="writing",
        level=FAIL,
        found="a name that exists could be created a second time, on this machine",
        advice="Files would overwrite each other. Use another folder or another kind of mount.",
    )


def case(own: OwnFiles) -> Finding:
    """Are `a` and `A` one name?"""
    own.create(own.key("case.txt"), b"lower")
    same = own.store.size(own.key("CASE.txt")) is not None
    rest = "; Swarm Ray's own names are all lower case"
    found = f"upper and lower case are {'the same' if same else 'different'} names{rest}"
    return Finding(check="letter case", level=OK, found=found, figures={"insensitive": float(same)})


def clocks(own: OwnFiles, means: Means, began: tuple[float, float]) -> Finding:
    """Do this machine's clock and the folder's agree, and did this one jump?

    Args:
        own: where a file is written.
        means: the clocks.
        began: wall and monotonic clock at the beginning of the examination.
    """
    key = own.key("clock.txt")
    own.create(key, b"tick")
    wall, clock = means.wall(), means.clock()
    written = own.store.modified(key)
    apart = 0.0 if written is None else written - wall
    jump = (wall - began[0]) - (clock - began[1])
    figures = {"apart_s": round(apart, 3) + 0.0, "jump_s": round(jump, 3) + 0.0}
    if max(abs(apart), abs(jump)) <= CLOCK_S:
        return Finding(
            check="clocks", level=OK, found=f"within {CLOCK_S:.0f} s of the folder's", figures=figures
        )
    what = (
        f"differs from the folder's by {seconds(abs(apart))}" if abs(apart) > CLOCK_S else "jumped meanwhile"
    )
    return Finding(
        check="clocks",
        level=WARN,
        found=f"this machine's clock {what}",
        advice="Nothing is decided by it, but times in tables and logs will mislead people. Set the clock.",
        figures=figures,
    )


def removal(own: OwnFiles) -> Finding:
    """Is a file that was removed gone?"""
    key = own.key("removed.txt")
    own.create(key, b"soon gone")
    own.remove(key)
    seen = own.store.size(key) is not None
    listed = "removed.txt" in own.store.names(own.folder)
    if not seen and not listed:
        return Finding(check="removal", level=OK, found="a removed file is gone, for this machine")
    return Finding(
        check="removal",
        level=WARN,
        found=f"a removed file is still {'there' if seen else 'listed'}",
        advice="Old files will use space for a while; empty the trash, where there is one.",
    )


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


def _write_one(own: OwnFiles, means: Means, files: _Files) -> None:
    key = own.key(f"small-{len(files.written):04d}.bin")
    began = means.clock()
    own.create(key, unlike_text(len(files.written), SMALL).encode())
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
        changed += data is not None and data != unlike_text(number, SMALL).encode()
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
