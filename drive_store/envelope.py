"""Envelopes: a payload with who wrote it, where it belongs, and the means to tell that it is whole.

An envelope has one of two framings. `seal_json` makes a document that people read; the payload stands in it byte for
byte, and its hash is taken over exactly those bytes. `seal_packed` compresses. `envelope_reading` opens both.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Annotated

import msgspec
import zstandard

from drive_store.errors import InvalidName

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
    bare = msgspec.structs.replace(frame, seal="", signature="")
    return hashlib.sha256(msgspec.json.encode(bare)).hexdigest()


def make_frame(header: Header, payload: bytes, codec: str, encoded_len: int) -> Frame:
    """Describe a payload and seal the description."""
    frame = Frame(
        header=header,
        codec=codec,
        raw_len=len(payload),
        encoded_len=encoded_len,
        sha256=payload_sha256(payload),
    )
    return msgspec.structs.replace(frame, seal=seal_of(frame))


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
    _require_json(payload)
    frame = make_frame(header, payload, "json", len(payload))
    encoded = _checked(msgspec.json.encode(frame))
    head = msgspec.json.format(encoded, indent=1)
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
    frame = make_frame(header, payload, "zstd", len(encoded))
    _checked(msgspec.json.encode(frame))
    head = msgspec.msgpack.encode(frame)
    body = b"".join(
        (PACKED_START, b"%d\n" % SCHEMA_VERSION, LENGTHS.pack(len(head), len(encoded)), head, encoded)
    )
    total = len(body) + TRAILER.size + len(TRAILER_END)
    return b"".join((body, TRAILER.pack(total), TRAILER_END))


def _checked(encoded: bytes) -> bytes:
    """Refuse to write a head that readers would refuse."""
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
    return encoded


def _require_json(payload: bytes) -> None:
    try:
        value = msgspec.json.decode(payload, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"The payload of a JSON envelope is not valid JSON: {error}.") from error
    if len(bytes(value)) != len(payload):
        raise ValueError("The payload of a JSON envelope has white space around it. Strip it.")
