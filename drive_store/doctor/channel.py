"""How one machine tells the other something and waits for its answer.

What they tell are notes: small files, each written once, in the folder of the one that tells. A note is believed only
after its envelope was opened: whole, of this session, and by the machine that is meant. What is seen of the other's
files before they are whole (an empty file, a beginning) is counted, and when what was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

import msgspec

from drive_store.doctor.report import seconds
from drive_store.doctor.workspace import Means, OwnFiles
from drive_store.envelope import (
    ABSENT,
    EMPTY,
    Expected,
    Header,
    NotYet,
    Valid,
    read_envelope,
    record_in,
    seal_json,
)
from drive_store.errors import StoreError
from drive_store.liveness import Liveness

T = TypeVar("T")
KIND = "check"
NOTE_LIMIT = 200_000
"""Most bytes of a note; one that carries a filler has half of it."""
_Word = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9_]{1,40}\Z")]
_Value = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+._-]{0,64}\Z")]
_Figure = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that is told; figures are such as may have been measured."""

    figures: Annotated[dict[_Word, _Figure], msgspec.Meta(max_length=40)] = {}
    texts: Annotated[dict[_Word, _Value], msgspec.Meta(max_length=10)] = {}
    filler: str = ""
    """Makes the file as large as those of a swarm; nobody reads it."""


FIRST_PAUSE_S = 0.02
LAST_PAUSE_S = 1.0
_PAUSE_SHARE = 0.02  # of the time that was waited: a coarser look costs at most that much
_LONGEST_PAUSE_S = 5.0
GONE_S = 10.0
"""A folder that showed files, and for so long has shown none, was left by its machine."""


class Silence(Exception):
    """The other machine's file did not come in time, or that machine has left."""


@dataclass(frozen=True)
class Met:
    """The other machine."""

    id: str
    folder: str
    """Key of the session's folder as this machine sees it; Drive may show it a second time, as ``check (1)``."""
    hello: Note
    after_s: float = 0.0
    """How long the meeting took, by the own clock."""


@dataclass
class Sights:
    """What was seen of the other machine's files, and when; times are of the own clock."""

    read: dict[str, float] = field(default_factory=dict)
    """When each file was first read whole."""
    listed: dict[str, float] = field(default_factory=dict)
    """When each name was first in a listing."""
    empty: set[str] = field(default_factory=set)
    beginnings: set[str] = field(default_factory=set)
    damaged: dict[str, str] = field(default_factory=dict)
    """Files that were refused, and why."""
    vanished: set[str] = field(default_factory=set)
    """Files that were read whole, and were not at the end."""
    errors: int = 0
    """Looks that failed in the store."""


class Channel:
    """Tells the other machine, and hears it.

    Args:
        own: the files of this machine; notes go into its folder.
        peer: the other machine.
        means: clock and sleep.
        wait_s: how long one note of the other is waited for.
    """

    def __init__(self, own: OwnFiles, peer: Met, means: Means, wait_s: float) -> None:
        self.own, self.peer, self.means, self.wait_s = own, peer, means, wait_s
        self.folder = f"{peer.folder}/{peer.id}"
        self.sights = Sights()
        self._presence = Liveness(GONE_S)
        self._listed_now = False

    def tell(self, name: str, note: Note) -> None:
        """Write a note, once.

        Raises:
            StoreError: it could not be written.
        """
        own, header = self.own, Header(kind=KIND, experiment=self.own.paths.experiment, node=self.own.id)
        # Its addressee stands in the name, so that a third machine does not take the note for its own.
        own.create(own.key(f"{name}.{self.peer.id}.json"), seal_json(header, msgspec.json.encode(note)))

    def hear(self, name: str) -> Note:
        """Wait for a note of the other machine.

        Raises:
            Silence: it did not come in time.
        """
        file = f"{self.folder}/{name}.{self.own.id}.json"
        return self.until(lambda: self.peek(name), f"the file {file} of the other machine")

    def until(self, done: Callable[[], T | None], what: str, within_s: float | None = None) -> T:
        """Look again and again, ever more slowly, until something is so.

        Args:
            done: looks.
            what: is looked for, for the message.
            within_s: how long; None: as long as a note is waited for.

        Returns:
            The first answer of `done` that is not empty.

        Raises:
            Silence: there was none in time, or the other machine has left.
        """
        within_s = self.wait_s if within_s is None else within_s
        for _ in looks(self.means, within_s):
            if found := done():
                return found
            if self._left():
                raise Silence(
                    f"the other machine has removed its files, while {what} was waited for: it was stopped"
                )
            self._listed_now = False
        raise Silence(f"{what} was not seen within {seconds(within_s)}{self._last(what)}")

    def peek(self, name: str) -> Note | None:
        """A note of the other machine if it is there, whole and right."""
        return self.peek_file(f"{name}.{self.own.id}.json")

    def peek_file(self, file: str) -> Note | None:
        """The note in a file of the other machine; see `peek`."""
        self._list_once_more(file)
        session = self.own.paths.experiment
        expected = Expected(kind=KIND, experiment=session, node=self.peer.id, max_payload=NOTE_LIMIT)
        try:
            reading = read_envelope(self.own.store, f"{self.folder}/{file}", expected)
        except StoreError:
            self.sights.errors += 1
            return None
        note = record_in(reading, Note)
        if note is not None:
            self.sights.read.setdefault(file, self.means.clock())
            self._list_once_more(file)  # it may have come between the listing and the look at its name
        elif not isinstance(reading, NotYet):
            self.sights.damaged[file] = "it holds no note" if isinstance(reading, Valid) else reading.reason
        elif reading != ABSENT:
            (self.sights.empty if reading == EMPTY else self.sights.beginnings).add(file)
        return note

    def _list_once_more(self, file: str) -> None:
        if file not in self.sights.listed:
            self.look_at_listing()

    def look_at_listing(self) -> list[str]:
        """The names that the other machine's folder shows now."""
        now, names, gone = self.means.clock(), list[str](), False
        try:
            names = self.own.store.names(self.folder)
            gone = bool(self.sights.listed) and not names
        except StoreError:
            self.sights.errors += 1
        self.sights.listed = dict.fromkeys(names[:10_000], now) | self.sights.listed
        # Whatever is shown is a sign of life, and a store that fails says nothing of the other machine.
        self._presence.observe(self.peer.id, "gone" if gone else now, now)
        self._listed_now = True
        return names

    def _left(self) -> bool:
        if not self._listed_now:
            self.look_at_listing()
        return not self._presence.alive(self.peer.id, self.means.clock())

    def _last(self, what: str) -> str:
        """What was seen in place of a file."""
        for seen, says in (
            (self.sights.damaged, "it was seen damaged"),
            (self.sights.beginnings, "a beginning of it was"),
            (self.sights.empty, "it was seen empty"),
        ):
            if any(f"/{name} " in what for name in seen):
                return f"; {says}"
        return f"; {self.sights.errors} looks failed in the store" if self.sights.errors else ""


def looks(means: Means, within_s: float) -> Iterator[None]:
    """Yield at each time to look, for so many seconds: often at first, later after a small share of what was waited."""
    began, pause = means.clock(), FIRST_PAUSE_S
    while True:
        yield
        waited = means.clock() - began
        if waited >= within_s:
            return
        means.sleep(min(pause, within_s - waited))
        pause = max(min(pause * 1.3, LAST_PAUSE_S), min(waited * _PAUSE_SHARE, _LONGEST_PAUSE_S))
