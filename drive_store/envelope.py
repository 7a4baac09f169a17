"""Envelopes: a payload with who wrote it, where it belongs, and the means to tell that it is whole.

One envelope has two framings. `seal_json` makes a document that people read; the payload stands in it byte
for byte, and its hash is taken over exactly those bytes. `seal_packed` compresses. `open_envelope` tells
them apart.
"""

from __future__ import annotations

import struct

import msgspec
import zstandard

from drive_store.errors import InvalidName
from drive_store.fetch import read_envelope
from drive_store.frame import HEAD_LIMIT, MAGIC, SCHEMA_VERSION, Frame, Header, make_frame, payload_sha256
from drive_store.reading import (
    JSON_END,
    JSON_MARK,
    LENGTHS,
    PACKED_START,
    TRAILER_END,
    Corrupt,
    NotYet,
    Reading,
    Rejected,
    Valid,
    open_envelope,
)

__all__ = [
    "MAGIC",
    "SCHEMA_VERSION",
    "Corrupt",
    "Header",
    "NotYet",
    "Reading",
    "Rejected",
    "Valid",
    "open_envelope",
    "payload_sha256",
    "read_envelope",
    "seal_json",
    "seal_packed",
]

_LEVEL = 3  # of zstandard: rollouts shrink to a third, in well under a millisecond


def seal_json(header: Header, payload: bytes) -> bytes:
    """Seal a JSON payload into a JSON document.

    Args:
        header: who writes it, and where it belongs.
        payload: one JSON value in UTF-8, with no white space around it. Its lines are kept.

    Returns:
        The file's content. The same arguments give the same bytes.

    Raises:
        ValueError: the payload is no such JSON value.
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
    total = len(body) + struct.calcsize(">Q") + len(TRAILER_END)
    return b"".join((body, struct.pack(">Q", total), TRAILER_END))


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
        raise ValueError(f"The payload of a JSON envelope is no JSON: {error}.") from error
    if len(bytes(value)) != len(payload):
        raise ValueError("The payload of a JSON envelope has white space around it. Strip it.")
