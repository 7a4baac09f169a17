"""One file on one machine: does it come into being, read as it was written, keep its name, and go."""

from __future__ import annotations

from drive_store.doctor.findings import FAIL, OK, WARN, Finding, seconds
from drive_store.doctor.ground import Means, OwnFiles
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
