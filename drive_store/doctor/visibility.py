"""How long a new file takes to the other machine: half of the way there and back, by one machine's own clock.

No two clocks are compared. The way contains the writing, and the pauses between two looks on both sides, which is what
a swarm meets too; so the figures are rather too long than too short.
"""

from __future__ import annotations

from collections.abc import Sequence

from drive_store.doctor.channel import Channel, Note, Sights
from drive_store.doctor.report import FAIL, OK, WARN, Finding, seconds, spread_of
from drive_store.doctor.workspace import unlike_text

FILLER = 94_000
"""Bytes of each file: those of a round file with 64 completions of 256 tokens, compressed."""
LIMIT_S = 1800.0
"""Seconds after which no further round is begun."""
LONG_S = 120.0
"""Seconds on one way from which on the defaults for Drive are too short."""
LAG_S = 5.0
"""Seconds by which a listing may be behind what a look at the name shows."""
_NAMED = 3


def ping(channel: Channel, rounds: int, took: list[float]) -> None:
    """Write numbered files and wait for their answers.

    Args:
        channel: to the other machine.
        rounds: how many at most.
        took: gets, for each round, the seconds there and back; it keeps them when the exchange breaks off.

    Raises:
        Silence: an answer did not come.
        StoreError: a file could not be written.
    """
    clock, began = channel.means.clock, channel.means.clock()
    for number in range(1, rounds + 1):
        sent = clock()
        last = number == rounds or sent - began > LIMIT_S
        channel.tell(
            f"ping-{number:06d}", Note(figures={"last": float(last)}, filler=unlike_text(number, FILLER))
        )
        channel.hear(f"pong-{number:06d}")
        took.append(clock() - sent)
        channel.means.say(f"round {number} of {rounds}: {seconds(took[-1])} there and back")
        if last:
            break
    channel.tell("pinged", Note())


def pong(channel: Channel, rounds: int, took: list[float]) -> None:
    """Answer numbered files; the way from an answer to the next file is measured too. See `ping`."""
    clock = channel.means.clock
    asked = channel.hear("ping-000001")
    for number in range(1, rounds + 1):
        last = number == rounds or bool(asked.figures.get("last"))
        sent = clock()
        channel.tell(f"pong-{number:06d}", Note(filler=unlike_text(number, FILLER)))
        asked = channel.hear("pinged" if last else f"ping-{number + 1:06d}")
        took.append(clock() - sent)
        channel.means.say(f"round {number} of {rounds}: {seconds(took[-1])} there and back")
        if last:
            return


def visibility(ways: Sequence[float], silence: str) -> Finding:
    """What the rounds say of one way.

    Args:
        ways: seconds of each.
        silence: why the exchange broke off; "" where it did not.
    """
    figures = spread_of(ways, "one_way")
    if not ways or silence:
        before = f" after {len(ways)} answers" if ways else ""
        return Finding(
            "visibility",
            FAIL,
            f"{silence or 'nothing was exchanged'}{before}",
            "Look at the other machine: does it run, is it the same folder? Lost files look the same.",
            figures,
        )
    parts = (f"{name} {seconds(figures[f'one_way_{name}_s'])}" for name in ("p50", "p90", "p99", "max"))
    found = f"a file takes to the other machine: {', '.join(parts)} ({len(ways)} times)"
    if figures["one_way_p99_s"] <= LONG_S:
        return Finding("visibility", OK, found, figures=figures)
    return Finding(
        "visibility",
        WARN,
        found,
        "Use pace.mode=async and the settings below: a round takes several such ways.",
        figures,
    )


def partial_files(sights: Sights) -> Finding:
    """Were files seen before they were whole?"""
    figures = {
        "seen": float(len(sights.read)),
        "empty_first": float(len(sights.empty)),
        "beginning_first": float(len(sights.beginnings)),
        "damaged": float(len(sights.damaged)),
        "errors": float(sights.errors),
    }
    if sights.damaged:
        named = "; ".join(f"{name}: {why}" for name, why in sorted(sights.damaged.items())[:_NAMED])
        return Finding(
            "whole files",
            FAIL,
            f"{len(sights.damaged)} files of the other machine are not what it wrote ({named})",
            "Remove what others put there, if it is that; a folder that changes files cannot be used.",
            figures,
        )
    if sights.vanished:
        return Finding(
            "whole files",
            FAIL,
            f"{len(sights.vanished)} files of the other machine were read, and are gone or changed",
            "Let nothing else write or tidy there. If nothing does, the folder loses files: take another.",
            figures | {"vanished": float(len(sights.vanished))},
        )
    seen = [f"{len(sights.read)} files of the other machine were read whole"]
    advised: list[str] = []
    if sights.empty or sights.beginnings:
        seen.append(
            f"{len(sights.empty)} were empty at first, {len(sights.beginnings)} a beginning of themselves"
        )
        advised.append("Swarm Ray waits until a file is whole; other programs that read here must do so too.")
    if sights.errors:
        seen.append(f"{sights.errors} looks failed in the store")
        advised.append("Errors come and go on Drive; they are tried again.")
    return Finding("whole files", WARN if advised else OK, "; ".join(seen), " ".join(advised), figures)


def listing_lag(sights: Sights, now: float) -> Finding:
    """Does a listing show what a look at the name shows?

    Args:
        sights: of the other machine's files.
        now: seconds on the clock of the sights.
    """
    lags = [max(0.0, sights.listed.get(name, now) - at) for name, at in sights.read.items()]
    unlisted = sum(name not in sights.listed for name in sights.read)
    ahead = sum(sights.listed.get(name, now) < at for name, at in sights.read.items())
    worst = max(lags, default=0.0)
    figures = {"lag_max_s": round(worst, 3), "unlisted": float(unlisted), "listed_first": float(ahead)}
    if unlisted == 0 and worst <= LAG_S:
        return Finding(
            "other's listing",
            OK,
            "a listing shows the other machine's files as soon as a look at the name does",
            figures=figures,
        )
    named = f"{unlisted} files that were read are in no listing" if unlisted else "all came"
    return Finding(
        "other's listing",
        WARN,
        f"listings are up to {seconds(worst)} behind a look at the name; {named}",
        "Swarm Ray reads by name what the state log names. Newcomers and strays are found later.",
        figures,
    )
