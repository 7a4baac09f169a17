"""What every envelope says of its content, and the seal over it."""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec

MAGIC = "drive-store"
SCHEMA_VERSION = 1
HEAD_LIMIT = 4096
"""The most bytes that the part of an envelope before its payload may take."""

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
    """The sha256 of the predecessor's payload; "" where there is none."""


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
