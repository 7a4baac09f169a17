"""What a link and its process say to each other: length-prefixed msgpack over a socket pair.

Times are of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

from typing import Any

import msgspec

from swarm_ray.exchange.hivemind.chunking import MAX_VALUE

LENGTH_BYTES = 4
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
