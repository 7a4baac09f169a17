"""Cutting values, what a node holds of others' without being flooded or overwritten, and the benchmark of all ways."""

import hashlib
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.msgpack import encode

from swarm_ray.errors import LinkError
from swarm_ray.exchange.hivemind.messages import MAX_VALUE, PART_BYTES, cut, join_parts, part_keys, part_sizes
from swarm_ray.exchange.hivemind.storage import (
    ENTRY_BYTES,
    MOST_HELD,
    BoundedParts,
    ExpectedPart,
    PartStorage,
    decode_part,
)


@given(st.integers(0, MAX_VALUE))
def test_the_sizes_of_parts_follow_from_the_size(size: int) -> None:
    parts = max(1, -(-size // PART_BYTES))
    sizes = part_sizes("key", parts, size)
    assert sum(sizes) == size
    assert all(part == PART_BYTES for part in sizes[:-1])
    assert sizes[-1] <= PART_BYTES


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES])
def test_parts_make_the_value_again_and_only_this_one(size: int) -> None:
    value = hashlib.shake_128(b"value").digest(size)
    hashed = hashlib.sha256(value).hexdigest()
    parts = cut("key", value)
    sizes = part_sizes("key", len(parts), size)
    assert join_parts("key", parts, sizes, hashed) == value
    with pytest.raises(LinkError, match="another hash"):
        join_parts("key", parts, sizes, "0" * 64)
    with pytest.raises(LinkError, match="another size"):
        join_parts("key", (*parts[:-1], parts[-1] + b"x"), sizes, hashed)


def test_no_two_parts_share_a_key() -> None:
    keys = [*part_keys("a", "0" * 64, 3), *part_keys("b", "0" * 64, 3), *part_keys("a", "1" * 64, 3)]
    assert len(set(keys)) == 9


@pytest.mark.parametrize("packed", [b"", b"\xc0", encode("text"), b"\xc4\x05ab", b"\xc4\x01ab"])
def test_what_is_no_part_is_not_taken(packed: bytes) -> None:
    assert decode_part(packed) is None
    assert decode_part(encode(b"x" * PART_BYTES)) == b"x" * PART_BYTES
    assert decode_part(encode(b"x" * (PART_BYTES + 1))) is None


def test_only_the_right_part_fits_where_its_hash_is_known() -> None:
    sought = ExpectedPart(4, hashlib.sha256(b"part").hexdigest())
    assert [sought.fits(encode(part)) for part in (b"part", b"peep", b"parts")] == [True, False, False]
    assert ExpectedPart(4, "").fits(encode(b"peep"))


def test_peers_neither_write_over_what_is_held_nor_drive_out_own_values() -> None:
    holding, soon, later = PartStorage(), time.time() + 60.0, time.time() + 600.0
    most = MOST_HELD // (PART_BYTES + ENTRY_BYTES)
    large = bytes(PART_BYTES)
    holding.own.store(0, b"own", soon)
    assert not holding.store(0, b"lie", later)
    assert holding.store(0, b"own", later)  # the node itself is one of the nearest
    for key in range(1, most + 2):
        assert holding.store(key, large, later)
    assert not holding.store(most + 1, b"lie", later + 1.0)
    assert not holding.store(most + 2, b"lie", later, subkey="a")
    assert holding.get(0) == (b"own", soon)
    assert [key for key in range(most + 3) if key not in holding] == [1, most + 2]
    assert list(holding.items()) == []


def test_what_expired_makes_room_and_is_not_found() -> None:
    shelf, now = BoundedParts(), time.time()
    assert shelf.store(1, b"old", now - 1.0)
    assert shelf.get(1) is None
    assert shelf.store(1, b"new", now + 60.0)
    assert shelf.get(1) == (b"new", now + 60.0)


BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "exchange.py"
ROW = r" +2 +100000" + r" +\d+\.\d" * 3 + r" +\d+\.\dx" * 2 + r" +\d+\.\d" * 3


@pytest.mark.repeats
def test_the_benchmark_compares_all_three_ways() -> None:
    ran = subprocess.run([sys.executable, BENCHMARK, "--quick"], check=True, capture_output=True, text=True)
    title, head, row = ran.stdout.splitlines()
    assert title.startswith("milliseconds from publication")
    assert head.split()[:5] == ["nodes", "bytes", "folder", "direct", "GenRL"]
    assert re.fullmatch(ROW, row)
    assert ran.stderr == ""
