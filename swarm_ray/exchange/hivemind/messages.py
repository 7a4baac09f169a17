"""What a link and its process say to each other, and how a value is cut into parts for the DHT.

Messages are length-prefixed msgpack over a socket pair; times are of the monotonic clock, which all processes of a
machine share. A peer's answer is one message too, in which hivemind puts all that is kept under one key, and one of
more than 4 MiB never arrives. So a value is cut, and each part has a key of its own.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from swarm_ray.errors import LinkError

PART_BYTES = 1_000_000
MAX_VALUE = 32 << 20
"""A larger value goes through the folder."""
LENGTH_BYTES = 4
SHOWN = 300
"""So much of an error, or of what a process wrote last, is shown."""
MAX_FRAME = MAX_VALUE + (1 << 20)


class Begin(msgspec.Struct, tag=True):
    """Start p2pd and a DHT node; answered with `Begun`."""

    identity: bytes | None
    listen: str
    port: int
    announce: tuple[str, ...]
    relays: tuple[str, ...]
    """Public peers that relay to this one; none where it needs none."""
    rpc_s: float
    """How long one peer may take to answer one request."""


class Put(msgspec.Struct, tag=True):
    """Keep a value's parts and push them to the nearest peers; answered with None."""

    keys: tuple[bytes, ...]
    parts: tuple[bytes, ...]
    expires_s: float


class Get(msgspec.Struct, tag=True):
    """Find a value's parts; answered with a tuple of them, or None where one was not found."""

    keys: tuple[bytes, ...]
    sizes: tuple[int, ...]
    sha256: str
    """Of the only part, which lets what others stored under its key be passed over; empty where there are several."""


class Join(msgspec.Struct, tag=True):
    """Connect to peers; answered with how many answered."""

    multiaddrs: tuple[str, ...]


class Peers(msgspec.Struct, tag=True):
    """Who is connected; answered with `Connected`."""


class Clock(msgspec.Struct, tag=True):
    """Compare clocks with some peers; answered with seconds, or None where none answered."""


Call = Begin | Put | Get | Join | Peers | Clock


class Request(msgspec.Struct, array_like=True):
    """One call of the link."""

    number: int
    deadline: float
    call: Call


class Reply(msgspec.Struct, array_like=True):
    """The answer to the request of that number."""

    number: int
    value: msgspec.Raw
    error: str = ""
    """Why the value is missing."""


class Begun(msgspec.Struct):
    """The link is up."""

    peer_id: str
    multiaddrs: tuple[str, ...]
    daemon: int
    """Process id of p2pd."""


class Connected(msgspec.Struct):
    """The peers that are connected, and where this one can be dialled by now."""

    peers: tuple[str, ...]
    multiaddrs: tuple[str, ...]


def frame(message: Any) -> bytes:
    """A message as it stands on the socket: 4 bytes of length (big-endian), then msgpack."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def body_length(head: bytes) -> int:
    """How many bytes follow the head of a frame.

    Raises:
        ValueError: more than any message has.
    """
    length = int.from_bytes(head, "big")
    if length > MAX_FRAME:
        raise ValueError(f"a message of {length} bytes")
    return length


def cut(key: str, value: bytes) -> tuple[bytes, ...]:
    """The parts of a value; an empty one has one part, too.

    Raises:
        LinkError: it is too large for the DHT.
    """
    if len(value) > MAX_VALUE:
        raise LinkError(
            f"{key}: the value has {len(value)} bytes and the DHT takes {MAX_VALUE}; the folder carries it"
        )
    return tuple(value[at : at + PART_BYTES] for at in range(0, max(1, len(value)), PART_BYTES))


def part_sizes(key: str, parts: int, size: int) -> tuple[int, ...]:
    """How many bytes each part of a value has.

    Raises:
        LinkError: no value of that size is cut into so many parts.
    """
    if not 0 <= size <= MAX_VALUE or parts != max(1, -(-size // PART_BYTES)):
        raise LinkError(
            f"{key}: no value of {size} bytes is cut into {parts} parts of at most {PART_BYTES}; the receipt is wrong"
        )
    return (*(PART_BYTES for _ in range(parts - 1)), size - PART_BYTES * (parts - 1))


def part_keys(key: str, sha256: str, parts: int) -> tuple[bytes, ...]:
    """The keys of a value's parts.

    The hash of the value is in them, so that nobody can occupy them before the value is known.
    """
    return tuple(hashlib.sha256(f"{key}\n{sha256}\n{number}".encode()).digest() for number in range(parts))


def join_parts(key: str, parts: tuple[bytes, ...], sizes: tuple[int, ...], sha256: str) -> bytes:
    """The value that the parts make.

    Raises:
        LinkError: they are not those of the value that has this hash.
    """
    if tuple(map(len, parts)) != sizes:
        raise LinkError(f"{key}: what the DHT holds under this key has another size; another peer stored it")
    value = b"".join(parts)
    if hashlib.sha256(value).hexdigest() != sha256:
        raise LinkError(f"{key}: what the DHT holds under this key has another hash; another peer stored it")
    return value
