"""Reading envelopes: every read answers exactly one of *Valid, NotYet, Corrupt, Rejected*.

Opening never raises, whatever the bytes. Sizes are checked before anything is decompressed, and the payload itself is
never parsed: it is bytes with a hash. The cheapest checks come first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import zstandard

from drive_store.envelope import (
    HEAD_LIMIT,
    JSON_END,
    JSON_MARK,
    JSON_START,
    LENGTHS,
    MAGIC,
    PACKED_START,
    SCHEMA_VERSION,
    TRAILER,
    TRAILER_END,
    Frame,
    Header,
    payload_sha256,
    seal_of,
)
from drive_store.errors import UNREADABLE, NotAFile, TooLarge
from drive_store.names import twin_name
from drive_store.store.store import Store

T = TypeVar("T")
_SCHEMA_JSON = re.compile(re.escape(JSON_START) + rb"([0-9]{1,9}),\n")
_SCHEMA_PACKED = re.compile(re.escape(PACKED_START) + rb"([0-9]{1,9})\n")
_START_LIMIT = 64  # bytes: both starts with their schema numbers are shorter
_WINDOW_LIMIT = 1 << 23  # bytes a decompressor may set aside; level 3 needs a quarter of it


@dataclass(frozen=True)
class Valid:
    """A whole payload as its writer wrote it, of the kind and origin that were asked for."""

    header: Header
    payload: bytes
    sha256: str


@dataclass(frozen=True)
class NotYet:
    """Nothing, or only a beginning, is seen; absence is never proof, so ask again later."""

    reason: str


@dataclass(frozen=True)
class Corrupt:
    """All of a file is there, and it is not what any writer wrote."""

    reason: str


@dataclass(frozen=True)
class Rejected:
    """A file this reader does not take: too large, of another version, kind or origin, or no file."""

    reason: str


Reading = Valid | NotYet | Corrupt | Rejected


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What an envelope must say of itself to be accepted."""

    kind: str
    experiment: str | None
    """The experiment it must belong to; None for any."""
    node: str | None = None
    """Its writer; None for any."""
    incarnation: str | None = None
    """Its writer's incarnation; None for any."""
    max_payload: int
    """The most bytes the payload may have."""


class _Refusal(Exception):
    def __init__(self, reading: NotYet | Corrupt | Rejected) -> None:
        super().__init__(reading)
        self.reading = reading


def read_envelope(store: Store, key: str, expected: Expected, *, twin_too: bool = False) -> Reading:
    """Read a file of the store and open it.

    Args:
        store: where the file is.
        key: its key.
        expected: what it must hold.
        twin_too: look for ``name (1)`` where the name itself is not seen: once there was a twin, Drive's mount may
            keep showing the remaining file under that name.

    Returns:
        The one reading that applies.

    Raises:
        StoreError: the store itself cannot be read.
    """
    limit = expected.max_payload + expected.max_payload // 128 + 2 * HEAD_LIMIT
    try:
        data = store.read(key, limit)
        if data is None and twin_too:
            data = store.read(twin_name(key, 1), limit)
    except (TooLarge, NotAFile) as error:
        return Rejected(str(error))
    return open_envelope(data, expected)


def open_envelope(data: bytes | None, expected: Expected) -> Reading:
    """Open the content of a file.

    Args:
        data: the content; None where no file was seen.
        expected: what it must hold.

    Returns:
        The one reading that applies. Never raises, whatever `data` holds.
    """
    if not data:
        return NotYet("no file is seen" if data is None else "the file is empty")
    opener = _open_packed if data[0] == PACKED_START[0] else _open_json
    try:
        return opener(data, expected)
    except _Refusal as refusal:
        return refusal.reading


def record_in(reading: Reading | None, kind: type[T]) -> T | None:
    """The JSON record in a whole envelope; None for any other reading, and for a payload that is not one.

    Args:
        reading: of a file that anybody may have written.
        kind: the record's type.
    """
    if not isinstance(reading, Valid):
        return None
    try:
        return msgspec.json.decode(reading.payload, type=kind)
    except UNREADABLE:
        return None


def _open_json(data: bytes, expected: Expected) -> Valid:
    _check_start(data, JSON_START, _SCHEMA_JSON)
    cut = data.find(JSON_MARK, 0, HEAD_LIMIT)
    if cut < 0:
        whole = len(data) >= HEAD_LIMIT or data.endswith(JSON_END)
        raise _Refusal(Corrupt("the header does not end") if whole else NotYet("the header is not whole"))
    frame = _decode(data[:cut] + b"\n}", msgspec.json.decode)
    start = cut + len(JSON_MARK)
    _check_frame(frame, "json", frame.raw_len, expected)
    _check_length(len(data), start + frame.encoded_len + len(JSON_END))
    if not data.endswith(JSON_END):
        raise _Refusal(Corrupt("the end of the document is damaged"))
    return _valid(frame, data[start : -len(JSON_END)])


def _open_packed(data: bytes, expected: Expected) -> Valid:
    start = _check_start(data, PACKED_START, _SCHEMA_PACKED)
    # A file that ends with a trailer of its own length is whole, whatever the lengths inside it say.
    trailer = TRAILER.pack(len(data)) + TRAILER_END
    cut_off = Corrupt("the lengths do not fit") if data.endswith(trailer) else NotYet("the file is not whole")
    if len(data) < start + LENGTHS.size:
        raise _Refusal(cut_off)
    head_len, encoded_len = LENGTHS.unpack_from(data, start)
    body = start + LENGTHS.size + head_len
    if head_len > HEAD_LIMIT:
        raise _Refusal(Corrupt("the header's length is damaged"))
    if len(data) < body:
        raise _Refusal(cut_off)
    frame = _decode(data[body - head_len : body], msgspec.msgpack.decode)
    _check_frame(frame, "zstd", encoded_len, expected)
    _check_length(len(data), body + encoded_len + len(trailer))
    if not data.endswith(trailer):
        raise _Refusal(Corrupt("the trailer is damaged"))
    return _valid(frame, _decompress(data[body : -len(trailer)], frame.raw_len))


def _check_start(data: bytes, start: bytes, pattern: re.Pattern[bytes]) -> int:
    """Check magic and schema version, and answer where they end."""
    found = pattern.match(data)
    if found is None:
        like_ours = data[: len(start)] == start[: len(data)] and len(data) < _START_LIMIT
        raise _Refusal(NotYet("only the first bytes are there") if like_ours else Corrupt("not an envelope"))
    if int(found[1]) != SCHEMA_VERSION:
        raise _Refusal(Rejected(f"schema version {int(found[1])}, and this program reads {SCHEMA_VERSION}"))
    return found.end()


def _decode(head: bytes, decode: Callable[..., Frame]) -> Frame:
    try:
        frame = decode(head, type=Frame)
        sealed = frame.seal == seal_of(frame)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise _Refusal(Corrupt("the header cannot be parsed")) from None
    if not sealed:
        raise _Refusal(Corrupt("the header is damaged: its seal does not fit"))
    return frame


def _check_frame(frame: Frame, codec: str, encoded_len: int, expected: Expected) -> None:
    if frame.magic != MAGIC or frame.schema != SCHEMA_VERSION or frame.encoded_len != encoded_len:
        raise _Refusal(Corrupt("the header does not fit the file around it"))
    if frame.codec != codec:
        raise _Refusal(Rejected(f"codec {frame.codec}, and {codec} is expected"))
    _check_identity(frame.header, expected)
    if max(frame.raw_len, frame.encoded_len - frame.raw_len // 128 - HEAD_LIMIT) > expected.max_payload:
        raise _Refusal(
            Rejected(f"a payload of {frame.raw_len} bytes, and {expected.max_payload} are allowed")
        )


def _check_identity(header: Header, expected: Expected) -> None:
    for what, found, needed in (
        ("experiment", header.experiment, expected.experiment),
        ("kind", header.kind, expected.kind),
        ("node", header.node, expected.node),
        ("incarnation", header.incarnation, expected.incarnation),
    ):
        if needed is not None and found != needed:
            raise _Refusal(Rejected(f"{what} {found!r}, and {needed!r} is expected"))


def _check_length(length: int, expected: int) -> None:
    if length < expected:
        raise _Refusal(NotYet(f"{length} of {expected} bytes are there"))
    if length > expected:
        raise _Refusal(Corrupt(f"{length} bytes, and {expected} were written"))


def _decompress(encoded: bytes, raw_len: int) -> bytes:
    """Decompress at most one byte more than was announced: a small frame can claim, and hold, gigabytes."""
    try:
        if zstandard.frame_content_size(encoded) != raw_len:
            raise _Refusal(Corrupt("the compressed payload has another length than the header says"))
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_LIMIT)
        with decompressor.stream_reader(encoded) as reader:
            return reader.read(raw_len + 1)
    except zstandard.ZstdError:
        raise _Refusal(Corrupt("the payload cannot be decompressed")) from None


def _valid(frame: Frame, payload: bytes) -> Valid:
    if len(payload) != frame.raw_len or payload_sha256(payload) != frame.sha256:
        raise _Refusal(Corrupt("the payload's hash does not fit"))
    return Valid(frame.header, payload, frame.sha256)
