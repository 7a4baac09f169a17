"""How a value is cut into parts and put together again, and the keys that the parts have in the DHT.

A peer's answer is one message, in which hivemind puts all that is kept under one key, and one of more than 4 MiB never
arrives. So a value is cut, and each part has a key of its own.
"""

from __future__ import annotations

import hashlib

from swarm_ray.errors import LinkError

PART_BYTES = 1_000_000
MAX_VALUE = 32 << 20
"""A larger value goes through the folder."""


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
