"""Random streams, derived and never carried: each purpose of each step of each node has its own."""

from __future__ import annotations

import hashlib
import random


def derive_seed(seed: int, node: str, step: int, purpose: str) -> int:
    """A seed of 63 bits that is a function of its four arguments alone (blake2b, the same on every machine)."""
    named = hashlib.blake2b(f"{seed}\0{node}\0{step}\0{purpose}".encode(), digest_size=8)
    return int.from_bytes(named.digest(), "big") >> 1


def derive_stream(seed: int, node: str, step: int, purpose: str) -> random.Random:
    """A Python random stream seeded by `derive_seed`."""
    return random.Random(derive_seed(seed, node, step, purpose))
