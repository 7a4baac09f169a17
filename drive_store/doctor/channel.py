"""How one machine tells the other something and waits for its answer.

What they tell are notes: small files, each written once, in the folder of the one that tells. A note is believed only
after its envelope was opened: whole, of this session, and by the machine that is meant. What is seen of the other's
files before they are whole (an empty file, a beginning) is counted, and when what was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from drive_store.doctor.report import seconds
from drive_store.doctor.workspace import Means, OwnFiles
from drive_store.envelope import (
    HEAD_LIMIT,
    Expected,
    Header,
    NotYet,
    Reading,
    Rejected,
    Valid,
    open_envelope,
    seal_json,
)
from drive_store.errors import UNREADABLE, NameTaken, NotAFile, StoreError, TooLarge
from drive_store.store.store import Store

KIND = "check"
NOTE_LIMIT = 200_000
"""Most bytes of a note; one that carries a filler has half of it."""
_MOST = 1e9
_Word = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9_]{1,40}\Z")]
_Value = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+._-]{0,64}\Z")]


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that is told."""

    figures: Annotated[dict[_Word, float], msgspec.Meta(max_length=40)] = {}
    texts: Annotated[dict[_Word, _Value], msgspec.Meta(max_length=10)] = {}
    filler: str = ""
    """Makes the file as large as those of a swarm; nobody reads it."""


def tell(own: OwnFiles, session: str, own_id: str, name: str, note: Note) -> None:
    """Write a note, once; raises `StoreError`. One that an attempt before this has left is the same note."""
    header = Header(kind=KIND, experiment=session, node=own_id)
    with suppress(NameTaken):
        own.create(own.key(f"{name}.json"), seal_json(header, msgspec.json.encode(note)))


def read_note(store: Store, key: str, session: str, writer: str) -> tuple[Reading, bytes | None]:
    """Open a note; also the bytes that were there, None for no file.

    Raises:
        StoreError: the store failed; not for files that are too large, or no files.
    """
    try:
        data = store.read(key, NOTE_LIMIT + 2 * HEAD_LIMIT)
    except (TooLarge, NotAFile) as error:
        return Rejected(str(error)), b""
    return open_envelope(
        data, Expected(kind=KIND, experiment=session, node=writer, max_payload=NOTE_LIMIT)
    ), data


def decode_note(payload: bytes) -> Note | None:
    """A note, if it is one, with figures that may have been measured."""
    try:
        note = msgspec.json.decode(payload, type=Note)
    except UNREADABLE:
        return None
    return note if all(abs(value) <= _MOST for value in note.figures.values()) else None


FIRST_PAUSE_S = 0.02
LAST_PAUSE_S = 1.0
_PAUSE_SHARE = 0.02  # of the time that was waited: a coarser look costs at most that much
_LONGEST_PAUSE_S = 5.0
GONE_S = 10.0
"""A folder that showed files, and for so long has shown none, was left by its machine."""


class Silence(Exception):
    """The other machine's file did not come in time, or that machine has left."""


@dataclass(frozen=True)
class Place:
    """A folder of a session as this machine sees it; Drive may show it a second time, as ``check (1)``."""

    store: Store
    folder: str
    """Key of the folder; "" for the root of a store of its own."""

    def key(self, name: str) -> str:
        """Key of something in the folder."""
        return f"{self.folder}/{name}" if self.folder else name


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
        session: the name that both machines were given.
        own_id: this machine.
        place: where the other machine's folder is seen.
        peer_id: the other machine.
        means: clock and sleep.
        wait_s: how long one note of the other is waited for.
    """

    def __init__(
        self,
        own: OwnFiles,
        session: str,
        own_id: str,
        place: Place,
        peer_id: str,
        means: Means,
        wait_s: float,
    ) -> None:
        self.own, self.means, self.wait_s, self.place = own, means, wait_s, place
        self.folder = place.key(peer_id)
        self.sights = Sights()
        self._session, self._own_id, self._peer_id = session, own_id, peer_id
        self._empty_since: float | None = None
        self._listed_now = False

    def tell(self, name: str, note: Note) -> None:
        """Write a note, once.

        Raises:
            StoreError: it could not be written.
        """
        # Its addressee stands in the name, so that a third machine does not take the note for its own.
        tell(self.own, self._session, self._own_id, f"{name}.{self._peer_id}", note)

    def hear(self, name: str) -> Note:
        """Wait for a note of the other machine.

        Raises:
            Silence: it did not come in time.
        """
        note: list[Note] = []

        def heard() -> bool:
            found = self.peek(name)
            note.extend([] if found is None else [found])
            return found is not None

        self.until(heard, f"the file {self.folder}/{name}.{self._own_id}.json of the other machine")
        return note[0]

    def until(self, done: Callable[[], bool], what: str, within_s: float | None = None) -> None:
        """Look again and again, ever more slowly, until something is so.

        Args:
            done: looks.
            what: is looked for, for the message.
            within_s: how long; None: as long as a note is waited for.

        Raises:
            Silence: it was not so in time, or the other machine has left.
        """
        within_s = self.wait_s if within_s is None else within_s
        for _ in looks(self.means, within_s):
            if done():
                return
            if self._left():
                raise Silence(
                    f"the other machine has removed its files, while {what} was waited for: it was stopped"
                )
            self._listed_now = False
        raise Silence(f"{what} was not seen within {seconds(within_s)}{self._last(what)}")

    def peek(self, name: str) -> Note | None:
        """A note of the other machine if it is there, whole and right."""
        return self.peek_file(f"{name}.{self._own_id}.json")

    def peek_file(self, file: str) -> Note | None:
        """The note in a file of the other machine; see `peek`."""
        self._list_once_more(file)
        reading, data = self._open(f"{self.folder}/{file}")
        if isinstance(reading, Valid):
            note = decode_note(reading.payload)
            if note is not None:
                self.sights.read.setdefault(file, self.means.clock())
                self._list_once_more(file)  # it may have come between the listing and the look at its name
                return note
            self.sights.damaged[file] = "it holds no note"
        elif not isinstance(reading, NotYet):
            self.sights.damaged[file] = reading.reason
        elif data is not None:
            (self.sights.beginnings if data else self.sights.empty).add(file)
        return None

    def _list_once_more(self, file: str) -> None:
        if file not in self.sights.listed:
            self.look_at_listing()

    def look_at_listing(self) -> list[str]:
        """The names that the other machine's folder shows now."""
        names: list[str] = []
        try:
            names = self.place.store.names(self.folder)
        except StoreError:
            self.sights.errors += 1
            return names
        now, self._listed_now = self.means.clock(), True
        for name in names[:10_000]:
            self.sights.listed.setdefault(name, now)
        if names or not self.sights.listed:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = now
        return names

    def _left(self) -> bool:
        if not self._listed_now:
            self.look_at_listing()
        return self._empty_since is not None and self.means.clock() - self._empty_since >= GONE_S

    def _open(self, key: str) -> tuple[Reading, bytes | None]:
        try:
            reading, data = read_note(self.place.store, key, self._session, self._peer_id)
        except StoreError:
            self.sights.errors += 1
            return NotYet("the store failed"), None
        return reading, data

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
