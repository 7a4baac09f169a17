"""What the scorer and its process say to each other: length-prefixed msgpack over two pipes."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

LENGTH_BYTES = 4
FOLDER_PREFIX = "swarm-ray-scoring-"
"""Of the working folder that the scorer makes and both ends remove, whichever lives longer."""

encode = msgspec.msgpack.encode


class Start(msgspec.Struct):
    """The scorer's first frame: what to build."""

    config: bytes
    """The `TasksConfig` as JSON."""
    allowed_modules: tuple[str, ...] | None


class Ready(msgspec.Struct):
    """The process's answer to it."""

    error: str | None
    """Why it cannot score; then it ends."""
    refuses_external: tuple[str, ...]
    """Specialties whose verifiers evaluate text."""


class Job(msgspec.Struct, array_like=True):
    """One answer to score."""

    specialty: str
    seed: int
    index: int
    text_hash: str
    """Of the question's text as the scorer knows it; "" leaves it unchecked."""
    answer: str
    external: bool


class Score(NamedTuple):
    """What an answer is worth; a frame of its own, so that the scorer sees which job ended the process."""

    reward: float
    """The verifier's raw value, between 0 and 1; 0 unless the outcome is ok."""
    outcome: str
    """ok, error (no such question, or no reward from its verifier), timeout, refused (see `safe_verifiers`),
    or killed (it ended the process)."""


def frame(message: Any) -> bytes:
    """A message as it stands on the pipe: 4 bytes of length (big-endian), then msgpack."""
    body = encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def split(buffer: bytearray) -> bytes | None:
    """Take the first whole frame's body off a buffer; None while it is incomplete."""
    end = LENGTH_BYTES + int.from_bytes(buffer[:LENGTH_BYTES], "big")
    if len(buffer) < LENGTH_BYTES or len(buffer) < end:
        return None
    body = bytes(buffer[LENGTH_BYTES:end])
    del buffer[:end]
    return body
