"""What this node's part of the DHT holds, and what it lets peers store and answer.

In hivemind's DHT anyone may store anything under any key, as much of it as he likes, and what expires later wins. Here
what is held stays as it is, own values are kept apart from those of peers, both are bounded, and nothing but parts of
values is taken.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from swarm_ray.exchange.hivemind.messages import PART_BYTES

MOST_HELD = 128 << 20
"""Bytes of peers' values, and as many of own ones; the oldest make room."""
ENTRY_BYTES = 500
"""What an entry costs beside its value, so that the number of empty ones is bounded, too."""


class StoredPart(NamedTuple):
    """An entry, with the names that hivemind uses."""

    value: bytes
    """The part in hivemind's msgpack."""
    expiration_time: float
    """By the wall clock, as all DHT nodes have it."""


class BoundedParts:
    """Values until they expire, bounded in bytes, the oldest first to go; what is held is not written over.

    Args:
        most: bytes.
    """

    def __init__(self, most: int = MOST_HELD) -> None:
        self._most, self._bytes = most, 0
        self._entries: dict[int, StoredPart] = {}

    def get(self, key: int) -> StoredPart | None:
        """The entry under a key."""
        entry = self._entries.get(key)
        if entry is not None and entry.expiration_time < time.time():
            self.drop(key)
            return None
        return entry

    def store(self, key: int, value: bytes, expiration: float) -> bool:
        """Hold a value; False where another one is held under that key."""
        held = self.get(key)
        if held is not None:
            return bool(held.value == value)
        self._entries[key] = StoredPart(value, expiration)
        self._bytes += len(value) + ENTRY_BYTES
        now = time.time()
        while self._entries:  # the oldest go while they are expired or too many
            oldest = next(iter(self._entries))
            if self._bytes <= self._most and self._entries[oldest].expiration_time >= now:
                break
            self.drop(oldest)
        return True

    def drop(self, key: int) -> None:
        """Forget an entry."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry.value) + ENTRY_BYTES


class PartStorage:
    """Stands in for the node's storage and its cache; has of hivemind's storage what a node and its protocol use."""

    def __init__(self) -> None:
        self.own, self.of_peers = BoundedParts(), BoundedParts()

    def get(self, key: int) -> StoredPart | None:
        """What is held under a key."""
        return self.own.get(key) or self.of_peers.get(key)

    def store(self, key: int, value: bytes, expiration_time: float, subkey: Any = None) -> bool:
        """Hold what a peer stored, which validation let pass, or what this node stores as one of the nearest."""
        own = self.own.get(key)
        if own is not None:
            return bool(own.value == value)
        return subkey is None and self.of_peers.store(key, value, expiration_time)

    def store_subkey(self, *_: Any) -> bool:
        """Parts have no subkeys."""
        return False

    def items(self) -> Iterator[tuple[int, StoredPart]]:
        """Nothing, for hivemind offers all of it to a peer that it meets, in one message.

        One of more than 4 MiB does not arrive, and the peer is taken for dead.
        """
        return iter(())

    def __contains__(self, key: int) -> bool:
        return self.get(key) is not None


@dataclass(frozen=True)
class ExpectedPart:
    """What is known of a part before it is there."""

    size: int
    sha256: str
    """Empty where it is not known."""

    def fits(self, packed: bytes) -> bool:
        """Whether this may be the part."""
        part = decode_part(packed)
        return (
            part is not None
            and len(part) == self.size
            and self.sha256 in {"", hashlib.sha256(part).hexdigest()}
        )


def decode_part(packed: bytes) -> bytes | None:
    """The part in hivemind's msgpack; None for anything else."""
    try:
        part = msgspec.msgpack.decode(packed, type=bytes)
    except msgspec.MsgspecError:
        return None
    return part if len(part) <= PART_BYTES else None
