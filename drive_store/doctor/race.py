"""Both machines create the same name at once: does one of them succeed, or both?

On one machine exactly one does. On Drive both may, and Drive keeps two files of one name. The machine with the greater
id says that it is ready and waits for as long as that word takes on its way; so both create at about the same time.
"""

from __future__ import annotations

from drive_store.doctor.channel import Channel
from drive_store.doctor.findings import FAIL, OK, WARN, Finding
from drive_store.doctor.notes import Note
from drive_store.errors import NameTaken

RACES = 3


def race(channel: Channel, folder: str, ids: tuple[str, str], *, first: bool, one_way_s: float) -> Finding:
    """Create names together with the other machine.

    Args:
        channel: to the other machine.
        folder: key of the folder of both.
        ids: of this machine and of the other.
        first: whether this machine has the smaller id.
        one_way_s: seconds that a file usually takes to the other machine.

    Returns:
        The finding, the same on both machines.

    Raises:
        Silence: the other machine did not go on.
        StoreError: the store failed.
    """
    both = neither = 0
    for number in range(RACES):
        if first:
            channel.hear(f"ready-{number}")
        else:
            channel.tell(f"ready-{number}", Note())
            channel.means.sleep(one_way_s)
        mine = _create(channel, f"{folder}/race-{min(ids)}-{number}.txt", ids[0])
        channel.tell(f"raced-{number}", Note(figures={"created": float(mine)}))
        theirs = channel.hear(f"raced-{number}").figures.get("created") == 1
        both += mine and theirs
        neither += not mine and not theirs
    return _raced(both, neither)


def not_raced() -> Finding:
    """Where the two machines see the session's folder twice, they have no folder to race in."""
    return Finding(
        check="exclusive names",
        level=WARN,
        found="each machine made the session's folder, and Drive keeps both: creation is exclusive on one machine only",
        advice="Nothing to do: Swarm Ray does not depend on it. Let no other program use it as a lock.",
        figures={"both": 1.0, "races": 0.0},
    )


def _create(channel: Channel, key: str, own_id: str) -> bool:
    try:
        channel.own.create_shared(key, own_id.encode())
    except NameTaken:
        return False
    return True


def _raced(both: int, neither: int) -> Finding:
    figures = {"races": float(RACES), "both": float(both), "neither": float(neither)}
    if neither:
        return Finding(
            check="exclusive names",
            level=FAIL,
            found=f"a new name could be created by neither of two machines, in {neither} of {RACES} tries",
            advice="Something else writes into the folder, or names are taken that nobody sees. Use a new folder.",
            figures=figures,
        )
    if both:
        return Finding(
            check="exclusive names",
            level=WARN,
            found=f"both machines created the same name, in {both} of {RACES} tries",
            advice="Nothing to do: Swarm Ray does not depend on it. Let no other program use it as a lock.",
            figures=figures,
        )
    return Finding(
        check="exclusive names",
        level=OK,
        found=f"of two machines one created the name, in {RACES} of {RACES} tries",
        figures=figures,
    )
