"""What two machines find out about a folder together: the order of the examination, and its end."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version

from drive_store.doctor import contention, visibility
from drive_store.doctor.channel import Channel, Note, Silence
from drive_store.doctor.meeting import Meeting, Met
from drive_store.doctor.report import FAIL, OK, WARN, Finding, percentile, seconds
from drive_store.doctor.workspace import Means, OwnFiles, tried
from drive_store.errors import StoreError

MOST_ROUNDS = 1000
LEAVE_S = 30.0
"""Seconds, at least, that the machine which hears the last word leaves it to be read."""
LISTING_S = 30.0
"""Seconds for which a listing is waited for that shows what was read."""
_RUN_BOTH = (
    "Start the doctor on the other machine too, over the same folder and with the same name of the pair."
)
_LOOK_THERE = "Look at the other machine, then run the doctor again."


@dataclass
class Together:
    """What was found, and the figures that the settings are made of: those of the slower direction."""

    findings: list[Finding] = field(default_factory=list)
    p50_s: float | None = None
    p99_s: float | None = None
    samples: int = 0
    one_machine: bool = False
    """Both ends were on one machine, so that nothing is known of other machines."""

    @property
    def between_machines_s(self) -> float | None:
        """The 99th percentile between two machines; None where it was not measured between two."""
        return None if self.one_machine else self.p99_s

    @property
    def median_between_machines_s(self) -> float | None:
        """The same of the median."""
        return None if self.one_machine else self.p50_s

    def take(self, p50_s: float, p99_s: float, samples: int) -> None:
        """Take figures of one machine; the longer of two counts."""
        self.p50_s, self.p99_s = max(self.p50_s or 0.0, p50_s), max(self.p99_s or 0.0, p99_s)
        self.samples = max(self.samples, samples)


def together(
    own: OwnFiles,
    session: str,
    own_id: str,
    means: Means,
    *,
    rounds: int,
    wait_s: float,
) -> Together:
    """Meet the other machine, and measure with it.

    Args:
        own: the files of this machine; its folder is there.
        session: the name that both machines were given.
        own_id: this machine.
        means: clocks, sleep, and who is told.
        rounds: how often a file goes there and back, at most.
        wait_s: how long the other machine, and each of its files, is waited for.
    """
    machine = hashlib.sha256(f"{session} {means.machine}".encode()).hexdigest()[:16] if means.machine else ""
    result = Together()
    try:
        met = Meeting(own, session, own_id, means).meet(_hello(rounds, machine), wait_s)
    except Silence as silence:
        result.findings.append(
            Finding(check="other machine", level=FAIL, found=str(silence), advice=_RUN_BOTH)
        )
        return result
    result.one_machine = bool(machine) and met.hello.texts.get("machine", "") == machine
    result.findings.append(_met(met, one_machine=result.one_machine))
    channel = Channel(own, session, own_id, met.place, met.id, means, wait_s)
    agreed = int(max(1, min(rounds, met.hello.figures.get("rounds", rounds))))
    _Exchange(channel, own, (own_id, met.id), result).run(agreed)
    return result


def _hello(rounds: int, machine: str) -> Note:
    texts = {"python": sys.version.split()[0], "fsspec": version("fsspec"), "machine": machine}
    return Note(figures={"rounds": float(rounds)}, texts=texts)


def _met(met: Met, *, one_machine: bool) -> Finding:
    texts = met.hello.texts
    who = f"Python {texts.get('python') or '?'}, fsspec {texts.get('fsspec') or '?'}"
    figures = {"met_after_s": round(met.after_s, 3)}
    if one_machine:
        return Finding(
            check="other machine",
            level=WARN,
            found=f"both ends are on one and the same machine ({who})",
            advice="What another machine sees was not measured: start the other end on another machine.",
            figures=figures,
        )
    return Finding(
        check="other machine", level=OK, found=f"met after {seconds(met.after_s)} ({who})", figures=figures
    )


class _Exchange:
    """The steps after the meeting, in the same order on both machines; the one with the smaller id begins."""

    def __init__(self, channel: Channel, own: OwnFiles, ids: tuple[str, str], result: Together) -> None:
        self._channel, self._own, self._ids, self._result = channel, own, ids, result
        self._first = ids[0] < ids[1]
        self._took: list[float] = []

    def run(self, rounds: int) -> None:
        """Do all steps; the first that breaks off is the last."""
        channel, first, found = self._channel, self._first, self._result.findings
        steps: Sequence[tuple[str, Callable[[], Finding]]] = (
            ("visibility", lambda: self._visibility(rounds)),
            ("overwriting", lambda: (contention.write_over if first else contention.watch_over)(channel)),
            ("other's removal", lambda: (contention.remove if first else contention.watch_removal)(channel)),
            ("exclusive names", self._race),
        )
        for check, step in steps:
            found.append(tried(check, step, _LOOK_THERE, (Silence, StoreError)))
            if found[-1].level == FAIL:
                break
        else:
            self._look_at_all_again()
            self._part()
        found.append(visibility.partial_files(channel.sights))
        found.append(visibility.listing_lag(channel.sights, channel.means.clock()))

    def _visibility(self, rounds: int) -> Finding:
        silence = ""
        try:
            (visibility.ping if self._first else visibility.pong)(self._channel, rounds, self._took)
        except Silence as broken:
            silence = str(broken)
        if self._took:
            ways = [took / 2 for took in self._took]
            self._result.take(percentile(ways, 0.5), percentile(ways, 0.99), len(ways))
        return visibility.visibility(self._took, silence)

    def _race(self) -> Finding:
        place = self._channel.place
        if place.store is not self._own.store:
            return contention.not_raced()
        self._channel.means.say("creating the same names on both machines")
        return contention.race(
            self._channel, place.folder, self._ids, first=self._first, one_way_s=self._result.p50_s or 0.0
        )

    def _look_at_all_again(self) -> None:
        """Give all that was read some time to be listed; and is it there still, as it was?"""
        channel, sights = self._channel, self._channel.sights
        sights.vanished = set(sights.read)

        def settled() -> bool:
            if not sights.read.keys() <= sights.listed.keys():
                channel.look_at_listing()
            sights.vanished = {file for file in sights.vanished if channel.peek_file(file) is None}
            return not sights.vanished and sights.read.keys() <= sights.listed.keys()

        with suppress(Silence):
            channel.until(settled, "all that was read", min(LISTING_S, channel.wait_s / 2))

    def _part(self) -> None:
        """Tell each other the figures, and leave so that both have read them."""
        result, channel = self._result, self._channel
        figures = {
            "p50_s": result.p50_s or 0.0,
            "p99_s": result.p99_s or 0.0,
            "samples": float(result.samples),
        }
        with suppress(Silence, StoreError):
            if self._first:
                channel.tell("end", Note(figures=figures))
            theirs = channel.hear("end").figures
            p50_s, p99_s = (max(0.0, theirs.get(name, 0.0)) for name in ("p50_s", "p99_s"))
            result.take(p50_s, p99_s, int(theirs.get("samples", 0)))
            if not self._first:
                channel.tell("end", Note(figures=figures))
                self._wait_for_leaving()

    def _wait_for_leaving(self) -> None:
        """Wait until the other machine has read the last word, which its folder's removal tells."""
        channel = self._channel
        patience = max(LEAVE_S, 4 * (self._result.p99_s or 0.0))
        until = channel.means.clock() + min(patience, channel.wait_s)
        channel.means.say(
            f"done; waiting until the other machine has read that (at most {seconds(patience)})"
        )

        def left() -> bool:
            return not channel.look_at_listing() or channel.means.clock() >= until

        channel.until(left, "the other machine's leaving")
