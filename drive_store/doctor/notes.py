"""What two machines tell each other: small files, each written once, in the folder of the one that tells.

A file from the other machine is believed only after its envelope was opened: whole, of this session, and by the
machine that is meant.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import msgspec

from drive_store.doctor.ground import OwnFiles
from drive_store.envelope import HEAD_LIMIT, Header, seal_json
from drive_store.envelope_reading import Expected, Reading, Rejected, open_envelope
from drive_store.errors import UNREADABLE, NameTaken, NotAFile, TooLarge
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
