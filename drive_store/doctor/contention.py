"""What two machines see when one overwrites or removes a file, and when both create one name at once.

Of a file that is overwritten or removed: the machine with the smaller id writes, the other watches and tells what it
saw, so that both know. Of a name that both create: on one machine exactly one succeeds. On Drive both may, and Drive
keeps two files of one name. The machine with the greater id says that it is ready and waits for as long as that word
takes on its way; so both create at about the same time.
"""

from __future__ import annotations

from collections import Counter

from drive_store.doctor.channel import NOTE_LIMIT, Channel, Note, Silence
from drive_store.doctor.report import FAIL, OK, WARN, Finding, seconds
from drive_store.errors import StoreError

COPY = "copy.txt"
OLD = b"the first content\n" * 300
NEW = b"the second content, which is longer\n" * 400


def write_over(channel: Channel) -> Finding:
    """Write a file, write over it when the other has seen it, and hear what that looked like."""
    key = channel.own.key(COPY)
    channel.own.create(key, OLD)
    channel.tell("copy", Note())
    channel.hear("copy-seen")
    channel.own.replace(key, NEW)
    channel.tell("copy-replaced", Note())
    return _replaced(channel.hear("copy-watched").figures)


def watch_over(channel: Channel) -> Finding:
    """Watch the other's file while it is written over."""
    channel.hear("copy")
    channel.until(lambda: _content(channel) == "old", f"the content of {channel.folder}/{COPY}")
    channel.tell("copy-seen", Note())
    figures = _watch(channel)
    channel.tell("copy-watched", Note(figures=figures))
    return _replaced(figures)


def _watch(channel: Channel) -> dict[str, float]:
    seen: Counter[str] = Counter()
    told: list[float] = []

    def is_new() -> bool:
        seen[_content(channel)] += 1
        if not told and channel.peek("copy-replaced") is not None:
            told.append(channel.means.clock())
        return seen["new"] > 0

    try:
        channel.until(is_new, f"the second content of {channel.folder}/{COPY}", channel.wait_s / 2)
        after = channel.means.clock() - told[0] if told else 0.0
    except Silence:
        after = -1.0
    return {kind: float(seen[kind]) for kind in ("old", "new", "mixed", "empty", "absent")} | {
        "after_s": round(after, 6)
    }


def _content(channel: Channel) -> str:
    """Which content the other's file shows: old, new, mixed, empty or absent."""
    try:
        data = channel.own.store.read(f"{channel.folder}/{COPY}", NOTE_LIMIT)
    except StoreError:
        data = None
    return {None: "absent", OLD: "old", NEW: "new", b"": "empty"}.get(data, "mixed")


def _replaced(figures: dict[str, float]) -> Finding:
    """What was seen of a file that was written over."""
    after = figures.get("after_s", -1.0)
    if after < 0:
        return Finding(
            "overwriting",
            WARN,
            "the new content of a file that was written over was not seen",
            "Beats are such files. Set pace.beat_s to 60 or more; if it stays so, nodes will be thought dead.",
            figures,
        )
    odd = [f"{k} {figures[k]:.0f} times" for k in ("mixed", "empty", "absent") if figures.get(k)]
    found = f"new content is seen {seconds(after)} after the word of it"
    if not odd:
        return Finding("overwriting", OK, f"{found}, and never a mixture", figures=figures)
    return Finding(
        "overwriting",
        WARN,
        f"{found}; before that it was {', '.join(odd)}",
        "Nothing is decided by such a file; beats that are not whole are looked at again.",
        figures,
    )


def remove(channel: Channel) -> Finding:
    """Remove the file, and hear when the other ceased to see it."""
    channel.own.remove(channel.own.key(COPY))
    channel.tell("copy-removed", Note())
    return _removed(channel.hear("copy-gone").figures)


def watch_removal(channel: Channel) -> Finding:
    """Watch the other's file until it is gone, for a look at its name and for a listing."""
    channel.hear("copy-removed")
    began, gone = channel.means.clock(), dict[str, float]()

    def is_gone() -> bool:
        now = round(channel.means.clock() - began, 6)
        if _content(channel) == "absent":
            gone.setdefault("name_s", now)
        if COPY not in channel.look_at_listing():
            gone.setdefault("listing_s", now)
        return len(gone) == 2

    try:
        channel.until(is_gone, f"the removal of {channel.folder}/{COPY}", channel.wait_s / 2)
    except Silence:
        gone = {"name_s": -1.0, "listing_s": -1.0} | gone
    channel.tell("copy-gone", Note(figures=gone))
    return _removed(gone)


def _removed(figures: dict[str, float]) -> Finding:
    """What was seen of a file that was removed."""
    name, listing = figures.get("name_s", -1.0), figures.get("listing_s", -1.0)
    if min(name, listing) >= 0:
        return Finding(
            "other's removal",
            OK,
            f"a removed file is gone {seconds(max(name, listing))} after the word of it",
            figures=figures,
        )
    return Finding(
        "other's removal",
        WARN,
        f"a file that the other machine removed is still {'there' if name < 0 else 'listed'}",
        "Old files are read again or counted for a while; Swarm Ray tolerates that.",
        figures,
    )


RACES = 3
_NO_LOCK = "Nothing to do: Swarm Ray does not depend on it. Let no other program use it as a lock."


def race(channel: Channel, one_way_s: float) -> Finding:
    """Create names together with the other machine.

    Args:
        channel: to the other machine.
        one_way_s: seconds that a file usually takes to the other machine.

    Returns:
        The finding, the same on both machines.

    Raises:
        Silence: the other machine stopped answering.
        StoreError: the store failed.
    """
    own, peer = channel.own, channel.peer
    if peer.folder != own.paths.folder:
        return Finding(
            "exclusive names",
            WARN,
            "each machine made the session's folder, and Drive keeps both: on one machine alone creation is exclusive",
            _NO_LOCK,
            {"both": 1.0, "races": 0.0},
        )
    channel.means.say("creating the same names on both machines")
    outcomes: Counter[int] = Counter()
    for number in range(RACES):
        if own.id < peer.id:
            channel.hear(f"ready-{number}")
        else:
            channel.tell(f"ready-{number}", Note())
            channel.means.sleep(one_way_s)
        name = f"{peer.folder}/race-{min(own.id, peer.id)}-{number}.txt"
        mine = own.create_shared(name, own.id.encode())
        channel.tell(f"raced-{number}", Note(figures={"created": float(mine)}))
        outcomes[mine + (channel.hear(f"raced-{number}").figures.get("created") == 1)] += 1
    return _raced(both=outcomes[2], neither=outcomes[0])


def _raced(*, both: int, neither: int) -> Finding:
    figures = {"races": float(RACES), "both": float(both), "neither": float(neither)}
    if neither:
        return Finding(
            "exclusive names",
            FAIL,
            f"a new name could be created by neither of two machines, in {neither} of {RACES} tries",
            "Something else writes into the folder, or names are taken that nobody sees. Use a new folder.",
            figures,
        )
    if both:
        return Finding(
            "exclusive names",
            WARN,
            f"both machines created the same name, in {both} of {RACES} tries",
            _NO_LOCK,
            figures,
        )
    return Finding(
        "exclusive names",
        OK,
        f"of two machines one created the name, in {RACES} of {RACES} tries",
        figures=figures,
    )
