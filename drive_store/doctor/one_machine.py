"""What one machine finds when it writes, reads, lists and removes files of its own, one and many small ones."""

from __future__ import annotations

from collections.abc import Sequence

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
        return Finding("writing", FAIL, "a file that was written cannot be read back", NOT_AS_WRITTEN)
    try:
        own.store.create(key, b"again")
    except NameTaken:
        return Finding("writing", OK, "a new file reads as written; its name cannot be taken again")
    return Finding(
        "writing",
        FAIL,
        "a name that exists could be created a second time, on this machine",
        "Files would overwrite each other. Use another folder or another kind of mount.",
    )


def case(own: OwnFiles) -> Finding:
    """Are `a` and `A` one name?"""
    own.create(own.key("case.txt"), b"lower")
    same = own.store.size(own.key("CASE.txt")) is not None
    return Finding(
        "letter case",
        OK,
        f"upper and lower case are {'the same' if same else 'different'} names; Swarm Ray's own are all lower case",
        figures={"insensitive": float(same)},
    )


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
        return Finding("clocks", OK, f"within {CLOCK_S:.0f} s of the folder's", figures=figures)
    differs = f"differs from the folder's by {seconds(abs(apart))}"
    return Finding(
        "clocks",
        WARN,
        f"this machine's clock {differs if abs(apart) > CLOCK_S else 'jumped meanwhile'}",
        "Nothing is decided by it, but times in tables and logs will mislead people. Set the clock.",
        figures,
    )


def removal(own: OwnFiles) -> Finding:
    """Is a file that was removed gone?"""
    key = own.key("removed.txt")
    own.create(key, b"soon gone")
    own.remove(key)
    seen = own.store.size(key) is not None
    if not seen and "removed.txt" not in own.store.names(own.folder):
        return Finding("removal", OK, "a removed file is gone, for this machine")
    return Finding(
        "removal",
        WARN,
        f"a removed file is still {'there' if seen else 'listed'}",
        "Old files will use space for a while; empty the trash, where there is one.",
    )


SMALL = 1024
"""Bytes of a small file."""
BUDGET_S = 120.0
"""Seconds after which no further small file is begun."""
SLOW_WRITE_S = 5.0
SLOW_LISTING_S = 10.0
_TOLD_FROM = 200


def many_files(own: OwnFiles, means: Means, counts: Sequence[int]) -> list[Finding]:
    """Write files up to each count, list them at each, and read all of them.

    Raises:
        StoreError: the store failed on the way.
    """
    write_s: list[float] = []
    listing_s: dict[int, float] = {}
    began, names = means.clock(), list[str]()
    for count in counts:
        if count >= _TOLD_FROM:
            means.say(f"writing {count} small files, to see how long a listing takes")
        while len(write_s) < count and means.clock() - began < BUDGET_S:
            number = len(write_s)
            write_s.append(means.timed(own.create, own.key(_name(number)), _content(number))[0])
        listing_s[len(write_s)], names = means.timed(own.store.names, own.folder)
    unlisted = len({_name(number) for number in range(len(write_s))}.difference(names))
    return [_speed(write_s), _read_all(own, means, len(write_s)), _listings(listing_s, unlisted)]


def _name(number: int) -> str:
    return f"small-{number:04d}.bin"


def _content(number: int) -> bytes:
    return unlike_text(number, SMALL).encode()


def _speed(write_s: Sequence[float]) -> Finding:
    figures, total = spread_of(write_s, "write"), sum(write_s)
    figures["writes_per_s"] = round(len(write_s) / total, 3) if total > 0 else 0.0
    found = f"{seconds(figures['write_p50_s'])} each, p99 {seconds(figures['write_p99_s'])}"
    if total > 0:
        found += f", {figures['writes_per_s']:.0f} a second"
    if figures["write_p99_s"] <= SLOW_WRITE_S:
        return Finding("small writes", OK, found, figures=figures)
    return Finding(
        "small writes",
        WARN,
        found,
        "Give fewer nodes to each machine and longer rounds: every node writes a file per round.",
        figures,
    )


def _read_all(own: OwnFiles, means: Means, count: int) -> Finding:
    took: list[float] = []
    gone = changed = 0
    for number in range(count):
        read_s, data = means.timed(own.store.read, own.key(_name(number)), SMALL * 2)
        took.append(read_s)
        gone += data is None
        changed += data is not None and data != _content(number)
    figures = spread_of(took, "read") | {"gone": float(gone), "changed": float(changed)}
    if gone or changed:
        return Finding(
            "read back",
            FAIL,
            f"{gone} of {count} files are not there, {changed} are not as they were written",
            NOT_AS_WRITTEN,
            figures,
        )
    return Finding(
        "read back",
        OK,
        f"{count} files read as written, {seconds(figures['read_p50_s'])} each",
        figures=figures,
    )


def _listings(listing_s: dict[int, float], unlisted: int) -> Finding:
    figures = {f"listing_{count}_s": round(took, 6) for count, took in listing_s.items()}
    figures["unlisted"] = float(unlisted)
    found = ", ".join(f"{seconds(took)} at {count} files" for count, took in listing_s.items())
    advice = []
    if unlisted:
        found += f"; {unlisted} files that this machine wrote are not in it"
        advice.append("Listings lag behind; readers ask again.")
    if max(listing_s.values()) > SLOW_LISTING_S:
        advice.append("Set retention.rounds low, so that folders stay small, and pace.poll_max_s high.")
    return Finding("listing", WARN if advice else OK, found, " ".join(advice), figures)
