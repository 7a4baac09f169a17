"""Two machines find each other in a folder, by files alone.

Each makes a folder under a fresh id and says hello in it. To every hello it sees it answers by a file with that id; who
is answered has met. A folder that an earlier examination left behind says hello for ever and answers nobody.

Where both machines make the session's folder at once, Drive keeps two of the same name, and each machine is shown the
other's as ``check (1)`` or ``first (1)``. So they look there too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from drive_store.doctor.channel import (
    Note,
    Place,
    Silence,
    decode_note,
    looks,
    read_note,
    tell,
)
from drive_store.doctor.report import seconds
from drive_store.doctor.workspace import CHECK, TWIN, Means, OwnFiles, list_raw
from drive_store.envelope import Valid
from drive_store.errors import StoreError
from drive_store.store.store import Store

MOST_SEEN = 16
"""Folders of others that are answered."""
_IS_ID = re.compile(r"[0-9a-f]{8}")

OpenStore = Callable[[str], Store]


@dataclass(frozen=True)
class Met:
    """The other machine."""

    id: str
    place: Place
    hello: Note
    after_s: float
    """How long the meeting took, by the own clock."""


@dataclass
class _Seen:
    place: Place
    hello: Note | None = None
    answered: bool = False


def places(store: Store, session: str, open_store: OpenStore) -> Iterator[Place]:
    """Where a session's folder is seen; first where it should be.

    Raises:
        StoreError: a folder cannot be listed.
    """
    yield Place(store, f"{CHECK}/{session}")
    for above in _twins_of(store.root, CHECK):
        for below in _twins_of(f"{store.root}/{above}", session):
            if (above, below) != (CHECK, session):
                yield Place(open_store(f"{store.root}/{above}/{below}"), "")


def _twins_of(folder: str, name: str) -> list[str]:
    return [found for found in list_raw(folder) if found == name or TWIN.fullmatch(found.removeprefix(name))]


class Meeting:
    """The search for the other machine.

    Args:
        own: the files of this machine.
        session: the name that both machines were given.
        own_id: this machine.
        means: clock, sleep, and who is told.
    """

    def __init__(self, own: OwnFiles, session: str, own_id: str, means: Means) -> None:
        self._own, self._session, self._own_id = own, session, own_id
        self._means = means
        self._seen: dict[str, _Seen] = {}
        self._stores: dict[str, Store] = {}

    def meet(self, hello: Note, wait_s: float) -> Met:
        """Wait for the other machine.

        Raises:
            Silence: nobody answered in time, or more than one.
            StoreError: the own files cannot be written.
        """
        began = self._means.clock()
        tell(self._own, self._session, self._own_id, "hello", hello)
        where = f"{self._own.store.root}/{CHECK}/{self._session}"
        self._means.say(f"waiting for the other machine in {where} (at most {seconds(wait_s)})")
        for _ in looks(self._means, wait_s):
            met = self._look()
            if len(met) > 1:
                raise Silence(
                    f"more than two machines use the name {self._session!r}: give each pair its own"
                )
            if met:
                id_, seen = met[0]
                return Met(id_, seen.place, seen.hello or Note(), self._means.clock() - began)
        raise Silence(f"nobody answered in {where} within {seconds(wait_s)}{self._hint()}")

    def _look(self) -> list[tuple[str, _Seen]]:
        """Look once at everybody; who has answered."""
        try:
            self._find()
            for id_, seen in self._seen.items():
                seen.hello = seen.hello or self._read(seen.place, id_, "hello")
                if seen.hello is not None and not seen.answered:
                    tell(self._own, self._session, self._own_id, f"meet-{id_}", Note())
                    seen.answered = True
            return [
                (id_, seen)
                for id_, seen in self._seen.items()
                if seen.hello is not None and self._read(seen.place, id_, f"meet-{self._own_id}") is not None
            ]
        except StoreError:  # the next look may succeed; the time is limited
            return []

    def _find(self) -> None:
        for place in places(self._own.store, self._session, self._open):
            for name in list_raw(f"{place.store.root}/{place.folder}".rstrip("/")):
                if _IS_ID.fullmatch(name) and name != self._own_id and len(self._seen) < MOST_SEEN:
                    self._seen.setdefault(name, _Seen(place))

    def _read(self, place: Place, id_: str, name: str) -> Note | None:
        reading, _ = read_note(place.store, place.key(f"{id_}/{name}.json"), self._session, id_)
        return decode_note(reading.payload) if isinstance(reading, Valid) else None

    def _open(self, path: str) -> Store:
        if path not in self._stores:
            self._stores[path] = self._means.open_store(path)
        return self._stores[path]

    def _hint(self) -> str:
        if len(self._seen) >= MOST_SEEN:
            return f"; {MOST_SEEN} folders of earlier examinations are in the way: remove them or take another name"
        if self._seen:
            return f"; folders were seen, left by machines that are gone or have met already: {', '.join(self._seen)}"
        return "; no other machine's folder was seen"
