"""Envelopes: a payload with who wrote it, where it belongs, and the means to tell that it is whole.

An envelope has one of two framings. `seal_json` makes a document that people read; the payload stands in it byte for
byte, and its hash is taken over exactly those bytes. `seal_packed` compresses.

Every read answers exactly one of *Valid, NotYet, Corrupt, Rejected*. Opening never raises, whatever the bytes. Sizes
are checked before anything is decompressed, and the payload itself is never parsed: it is bytes with a hash.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec
import zstandard

from drive_store.errors import UNREADABLE, InvalidName, NotAFile, TooLarge
from drive_store.names import twin_name
from drive_store.store.store import Store

T = TypeVar("T")
MAGIC = "drive-store"
SCHEMA_VERSION = 1
HEAD_LIMIT = 4096
"""The most bytes that the part of an envelope before its payload may take."""
JSON_START = b'{\n "magic": "%s",\n "schema": ' % MAGIC.encode()
JSON_MARK = b',\n "payload": '  # no JSON string holds a line's end, so this stands in no header
JSON_END = b"\n}\n"
PACKED_START = b"%s packed " % MAGIC.encode()
LENGTHS = struct.Struct(">IQ")
TRAILER = struct.Struct(">Q")
TRAILER_END = b"\nend\n"
_SCHEMA_JSON = re.compile(re.escape(JSON_START) + rb"([0-9]{1,9}),\n")
_SCHEMA_PACKED = re.compile(re.escape(PACKED_START) + rb"([0-9]{1,9})\n")
_START_LIMIT = 64  # bytes: both starts with their schema numbers are shorter
_WINDOW_LIMIT = 1 << 23  # bytes a decompressor may set aside; level 3 needs a quarter of it
_LEVEL = 3  # of zstandard: rollouts shrink to a third, in well under a millisecond

_Word = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9_.-]{0,80}\Z")]
_Incarnation = Annotated[str, msgspec.Meta(pattern=r"\A(?:[0-9a-f]{8})?\Z")]
_Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Sha256OrNone = Annotated[str, msgspec.Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z")]
_Signature = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+/=_-]{0,512}\Z")]
_Number = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who wrote a file, and where it belongs; identity is here, and a file's name only helps to find it."""

    kind: _Word
    experiment: _Word
    node: _Word
    """The writer: a node, or for a state record its claimant."""
    incarnation: _Incarnation = ""
    epoch: _Number = 0
    round: _Number = 0
    stage: _Number = 0
    sequence: _Number = 0
    previous: _Sha256OrNone = ""
    """The sha256 of the predecessor's payload; "" for the first."""


class Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The header with what tells a whole payload from a part: codec, lengths in bytes, hash and seal."""

    magic: _Word = MAGIC
    schema: _Number = SCHEMA_VERSION
    header: Header
    codec: _Word
    """"json": the payload's bytes as they are. "zstd": compressed."""
    raw_len: _Number
    encoded_len: _Number
    sha256: _Sha256
    """Of the payload, before any compression."""
    seal: _Sha256OrNone = ""
    """The sha256 over all fields above. Where signatures are used, this is what is signed."""
    signature: _Signature = ""


def payload_sha256(payload: bytes) -> str:
    """Hash a payload: 64 lower-case hex digits, by which state records name files."""
    return hashlib.sha256(payload).hexdigest()


def seal_of(frame: Frame) -> str:
    """Hash a frame without seal and signature, in its one spelling: compact JSON, fields in order."""
    return payload_sha256(msgspec.json.encode(msgspec.structs.replace(frame, seal="", signature="")))


def make_frame(header: Header, payload: bytes, codec: str, encoded_len: int) -> Frame:
    """Describe a payload and seal the description.

    Raises:
        InvalidName: a field of the header holds what no reader would accept.
    """
    frame = Frame(
        header=header,
        codec=codec,
        raw_len=len(payload),
        encoded_len=encoded_len,
        sha256=payload_sha256(payload),
    )
    frame = msgspec.structs.replace(frame, seal=seal_of(frame))
    encoded = msgspec.json.encode(frame)
    try:
        msgspec.json.decode(encoded, type=Frame)
    except msgspec.DecodeError as error:
        raise InvalidName(
            f"The header of an envelope cannot be written: {error}. Correct that field."
        ) from error
    if len(encoded) > HEAD_LIMIT // 2:
        raise InvalidName(
            f"The header of an envelope takes {len(encoded)} bytes, which is too much. Shorten it."
        )
    return frame


def seal_json(header: Header, payload: bytes) -> bytes:
    """Seal a JSON payload into a JSON document.

    Args:
        header: who writes it, and where it belongs.
        payload: one JSON value in UTF-8, with no white space around it. Its lines are kept.

    Returns:
        The file's content. The same arguments give the same bytes.

    Raises:
        ValueError: the payload is not such a JSON value.
        InvalidName: a field of the header holds what no reader would accept.
    """
    try:
        value = msgspec.json.decode(payload, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"The payload of a JSON envelope is not valid JSON: {error}.") from error
    if len(bytes(value)) != len(payload):
        raise ValueError("The payload of a JSON envelope has white space around it. Strip it.")
    frame = make_frame(header, payload, "json", len(payload))
    head = msgspec.json.format(msgspec.json.encode(frame), indent=1)
    return b"".join((head.removesuffix(b"\n}"), JSON_MARK, payload, JSON_END))


def seal_packed(header: Header, payload: bytes) -> bytes:
    """Seal any payload into a compressed file.

    Its parts: a line with magic and schema version, the lengths of the next two parts (big-endian, 4 and 8
    bytes), the frame (msgpack), the payload (zstandard), and a trailer with the length of the whole
    (big-endian, 8 bytes).

    Args:
        header: who writes it, and where it belongs.
        payload: any bytes.

    Returns:
        The file's content.

    Raises:
        InvalidName: a field of the header holds what no reader would accept.
    """
    encoded = zstandard.ZstdCompressor(level=_LEVEL).compress(payload)
    head = msgspec.msgpack.encode(make_frame(header, payload, "zstd", len(encoded)))
    body = b"".join(
        (PACKED_START + b"%d\n" % SCHEMA_VERSION, LENGTHS.pack(len(head), len(encoded)), head, encoded)
    )
    return b"".join((body, TRAILER.pack(len(body) + TRAILER.size + len(TRAILER_END)), TRAILER_END))


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


ABSENT, EMPTY = NotYet("no file is seen"), NotYet("the file is empty")


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
    """Carries the reading that applies in place of a valid one."""


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
    except (TooLarge, NotAFile, InvalidName) as error:
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
        return ABSENT if data is None else EMPTY
    opener = _open_packed if data[0] == PACKED_START[0] else _open_json
    try:
        return opener(data, expected)
    except _Refusal as refusal:
        reading: Reading = refusal.args[0]
        return reading


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


def why_no_record(reading: Reading | None, kind: type[object]) -> str:
    """In words, why `record_in` answers None."""
    if not isinstance(reading, Valid):
        return reading.reason if reading else "it is not there"
    try:
        msgspec.json.decode(reading.payload, type=kind)
    except UNREADABLE as error:
        return str(error)
    return ""


def _open_json(data: bytes, expected: Expected) -> Valid:
    _check_start(data, JSON_START, _SCHEMA_JSON)
    cut = data.find(JSON_MARK, 0, HEAD_LIMIT)
    if cut < 0:
        whole = len(data) >= HEAD_LIMIT or data.endswith(JSON_END)
        raise _Refusal(Corrupt("the header does not end") if whole else NotYet("the header is not whole"))
    frame = _decode(data[:cut] + b"\n}", msgspec.json.decode)
    start = cut + len(JSON_MARK)
    _check_frame(frame, "json", frame.raw_len, expected)
    _check_end(data, start + frame.encoded_len + len(JSON_END), JSON_END)
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
    _check_end(data, body + encoded_len + len(trailer), trailer)
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
    header = frame.header
    for what, found, needed in (
        ("codec", frame.codec, codec),
        ("experiment", header.experiment, expected.experiment),
        ("kind", header.kind, expected.kind),
        ("node", header.node, expected.node),
        ("incarnation", header.incarnation, expected.incarnation),
    ):
        if needed is not None and found != needed:
            raise _Refusal(Rejected(f"{what} {found!r}, and {needed!r} is expected"))
    if max(frame.raw_len, frame.encoded_len - frame.raw_len // 128 - HEAD_LIMIT) > expected.max_payload:
        raise _Refusal(
            Rejected(f"a payload of {frame.raw_len} bytes, and {expected.max_payload} are allowed")
        )


def _check_end(data: bytes, length: int, end: bytes) -> None:
    if len(data) < length:
        raise _Refusal(NotYet(f"{len(data)} of {length} bytes are there"))
    if len(data) > length:
        raise _Refusal(Corrupt(f"{len(data)} bytes, and {length} were written"))
    if not data.endswith(end):
        raise _Refusal(Corrupt("the end of the file is damaged"))


def _decompress(encoded: bytes, raw_len: int) -> bytes:
    """Decompress at most one byte more than was announced: a small frame can claim, and hold, gigabytes."""
    try:
        if zstandard.frame_content_size(encoded) != raw_len:
            raise _Refusal(Corrupt("the compressed payload has another length than the header says"))
        with zstandard.ZstdDecompressor(max_window_size=_WINDOW_LIMIT).stream_reader(encoded) as reader:
            return reader.read(raw_len + 1)
    except zstandard.ZstdError:
        raise _Refusal(Corrupt("the payload cannot be decompressed")) from None


def _valid(frame: Frame, payload: bytes) -> Valid:
    if len(payload) != frame.raw_len or payload_sha256(payload) != frame.sha256:
        raise _Refusal(Corrupt("the payload's hash does not fit"))
    return Valid(frame.header, payload, frame.sha256)
