"""Two machines find each other in a folder by files alone, and find out about it together.

Each registers in the session's folder, as nodes do in an experiment's, and its beat names every machine that it has
seen there; who is named has met. A registration that an earlier examination left behind names nobody.

Where both machines make the session's folder at once, Drive keeps two of the same name, and each machine is shown the
other's as ``check (1)`` or ``first (1)``. So they look there too.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version

import msgspec

from drive_store.doctor import contention, visibility
from drive_store.doctor.channel import Channel, Met, Note, Silence, looks
from drive_store.doctor.report import FAIL, OK, WARN, Finding, percentile, seconds
from drive_store.doctor.workspace import CHECK, TWIN, Means, OwnFiles, SessionPaths, tried
from drive_store.envelope import record_in
from drive_store.errors import StoreError
from drive_store.experiment_store import ExperimentStore
from drive_store.registry import Registry
from drive_store.store.store import Store

MOST_ROUNDS = 1000
LEAVE_S = 30.0
"""Seconds, at least, that the machine which hears the last word leaves it to be read."""
LISTING_S = 30.0
"""Seconds for which a listing is waited for that shows what was read."""
MOST_SEEN = 16
"""Registrations of others that are answered."""
NODE = "machine"
"""As which every machine registers; its id is the incarnation."""
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

    def take(self, p50_s: float, p99_s: float, samples: int) -> None:
        """Take figures of one machine; the longer of two counts."""
        self.p50_s, self.p99_s = max(self.p50_s or 0.0, p50_s), max(self.p99_s or 0.0, p99_s)
        self.samples = max(self.samples, samples)


def together(own: OwnFiles, means: Means, *, rounds: int, wait_s: float) -> Together:
    """Meet the other machine, and measure with it.

    Args:
        own: the files of this machine; its folder is there.
        means: clocks, sleep, and who is told.
        rounds: how often a file goes there and back, at most.
        wait_s: how long the other machine, and each of its files, is waited for.
    """
    known = f"{own.paths.experiment} {means.machine}".encode()
    machine = hashlib.sha256(known).hexdigest()[:16] if means.machine else ""
    texts = {"python": sys.version.split()[0], "fsspec": version("fsspec"), "machine": machine}
    result = Together()
    try:
        met = Meeting(own, means).meet(Note(figures={"rounds": float(rounds)}, texts=texts), wait_s)
    except Silence as silence:
        result.findings.append(Finding("other machine", FAIL, str(silence), _RUN_BOTH))
        return result
    result.one_machine = bool(machine) and met.hello.texts.get("machine", "") == machine
    result.findings.append(_met(met, one_machine=result.one_machine))
    agreed = int(max(1, min(rounds, met.hello.figures.get("rounds", rounds))))
    _Exchange(Channel(own, met, means, wait_s), result).run(agreed)
    return result


class Meeting:
    """The search for the other machine.

    Args:
        own: the files of this machine.
        means: clock, sleep, and who is told.
    """

    def __init__(self, own: OwnFiles, means: Means) -> None:
        self._own, self._means = own, means
        self._registries: dict[str, Registry] = {}
        self._seen: dict[str, Met] = {}
        self._told = 0

    def meet(self, hello: Note, wait_s: float) -> Met:
        """Wait for the other machine.

        Raises:
            Silence: nobody answered in time, or more than one.
            StoreError: the own files cannot be written.
        """
        own, began = self._own, self._means.clock()
        payload = msgspec.json.encode(hello)
        for key in (own.paths.registration(NODE, own.id), own.paths.beat(NODE, own.id)):
            own.expect(key, len(payload))
        self._registry(own.paths.folder).register(NODE, own.id, payload)
        where = f"{own.store.root}/{own.paths.folder}"
        self._means.say(f"waiting for the other machine in {where} (at most {seconds(wait_s)})")
        for _ in looks(self._means, wait_s):
            met = self._look()
            if len(met) > 1:
                name = own.paths.experiment
                raise Silence(f"more than two machines use the name {name!r}: give each pair its own")
            if met:
                return replace(met[0], after_s=self._means.clock() - began)
        raise Silence(f"nobody answered in {where} within {seconds(wait_s)}{self._hint()}")

    def _registry(self, folder: str) -> Registry:
        if folder not in self._registries:
            paths = SessionPaths(self._own.paths.experiment, folder)
            self._registries[folder] = Registry(ExperimentStore(self._own.store, paths))
        return self._registries[folder]

    def _look(self) -> list[Met]:
        """Look once at everybody; who names this machine."""
        with suppress(StoreError):  # the next look may succeed; the time is limited
            self._find()
            if len(self._seen) > self._told:
                mine = self._registry(self._own.paths.folder)
                mine.write_beat(NODE, self._own.id, len(self._seen), msgspec.json.encode(list(self._seen)))
                self._told = len(self._seen)
            return [met for met in self._seen.values() if self._own.id in self._named_by(met)]
        return []

    def _find(self) -> None:
        for folder in folders(self._own.store, self._own.paths.experiment):
            for (_, id_), reading in self._registry(folder).registrations().items():
                hello = record_in(reading, Note)
                if hello is not None and id_ != self._own.id and len(self._seen) < MOST_SEEN:
                    self._seen.setdefault(id_, Met(id_, folder, hello))

    def _named_by(self, met: Met) -> list[str]:
        return record_in(self._registry(met.folder).read_beat(NODE, met.id), list[str]) or []

    def _hint(self) -> str:
        if len(self._seen) >= MOST_SEEN:
            return f"; {MOST_SEEN} registrations of earlier examinations are in the way: take another name"
        if self._seen:
            return f"; machines registered that are gone or have met already: {', '.join(self._seen)}"
        return "; no other machine has registered"


def folders(store: Store, session: str) -> Iterator[str]:
    """Keys of the session's folder and of its twins.

    Raises:
        StoreError: a folder cannot be listed.
    """
    own = f"{CHECK}/{session}"
    yield own  # whatever the listings above it show
    for above in _named(store.names(""), CHECK):
        found = (f"{above}/{below}" for below in _named(store.names(above), session))
        yield from (folder for folder in found if folder != own)


def _named(names: Sequence[str], name: str) -> list[str]:
    """A name and its twins, of those in a folder."""
    return [found for found in names if found == name or TWIN.fullmatch(found.removeprefix(name))]


def _met(met: Met, *, one_machine: bool) -> Finding:
    texts = met.hello.texts
    who = f"Python {texts.get('python') or '?'}, fsspec {texts.get('fsspec') or '?'}"
    figures = {"met_after_s": round(met.after_s, 3)}
    if not one_machine:
        return Finding("other machine", OK, f"met after {seconds(met.after_s)} ({who})", figures=figures)
    return Finding(
        "other machine",
        WARN,
        f"both ends are on one and the same machine ({who})",
        "What another machine sees was not measured: start the other end on another machine.",
        figures,
    )


class _Exchange:
    """The steps after the meeting, in the same order on both machines; the one with the smaller id begins."""

    def __init__(self, channel: Channel, result: Together) -> None:
        self._channel, self._result = channel, result
        self._first = channel.own.id < channel.peer.id

    def run(self, rounds: int) -> None:
        """Do all steps; the first that breaks off is the last."""
        channel, first, found = self._channel, self._first, self._result.findings
        steps: Sequence[tuple[str, Callable[[], Finding]]] = (
            ("visibility", lambda: self._visibility(rounds)),
            ("overwriting", lambda: (contention.write_over if first else contention.watch_over)(channel)),
            ("other's removal", lambda: (contention.remove if first else contention.watch_removal)(channel)),
            ("exclusive names", lambda: contention.race(channel, self._result.p50_s or 0.0)),
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
        took, silence = list[float](), ""
        try:
            (visibility.ping if self._first else visibility.pong)(self._channel, rounds, took)
        except Silence as broken:
            silence = str(broken)
        ways = [there_and_back / 2 for there_and_back in took]
        if ways:
            self._result.take(percentile(ways, 0.5), percentile(ways, 0.99), len(ways))
        return visibility.visibility(ways, silence)

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
        own = Note(
            figures={
                "p50_s": result.p50_s or 0.0,
                "p99_s": result.p99_s or 0.0,
                "samples": float(result.samples),
            }
        )
        with suppress(Silence, StoreError):
            if self._first:
                channel.tell("end", own)
            theirs = channel.hear("end").figures
            result.take(theirs.get("p50_s", 0.0), theirs.get("p99_s", 0.0), int(theirs.get("samples", 0)))
            if not self._first:
                channel.tell("end", own)
                self._wait_for_leaving()

    def _wait_for_leaving(self) -> None:
        """Wait until the other machine has read the last word, which its folder's removal tells."""
        channel = self._channel
        patience = max(LEAVE_S, 4 * (self._result.p99_s or 0.0))
        channel.means.say(
            f"done; waiting until the other machine has read that (at most {seconds(patience)})"
        )
        within_s = min(patience, channel.wait_s)
        channel.until(lambda: not channel.look_at_listing(), "the other machine's leaving", within_s)
