"""What a payload is after it has travelled, and what strange bytes are: a `WireError` and nothing else."""

import math
from datetime import UTC, datetime
from enum import Enum

import msgspec
import numpy as np
import pytest
import torch
from genrl.communication import Payload
from genrl.state import WorldState
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm_ray.genrl import wire
from swarm_ray.genrl.wire import WireError, decode, encode

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.binary(max_size=12)
)
KEYS = (
    st.integers(-5, 5)
    | st.text(max_size=3)
    | st.tuples(st.integers(0, 3), st.text("ab", max_size=2))
    | st.none()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(st.text("abcé", max_size=3), inner, max_size=4)
        | st.builds(Payload, inner, inner, inner)
        | st.builds(WorldState, inner, inner, inner)
    ),
    max_leaves=20,
)


def same(one: object, other: object) -> bool:
    """Equal, and of the same types all the way down (1 == 1.0 == True)."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one), list(other)) and same(list(one.values()), list(other.values()))
    if isinstance(one, (Payload, WorldState)):
        return same(vars(one), vars(other))
    return one == other


@given(VALUES)
@settings(max_examples=80)
def test_what_travels_comes_back(value):
    assert same(decode(encode(value)), value)


class Colour(str, Enum):  # noqa: UP042 - what games have from before there was StrEnum
    RED = "red"


@pytest.mark.parametrize(
    ("sent", "back"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(-3), -3),
        (np.bool_(True), True),
        (np.float64("inf"), math.inf),
        ({Colour.RED: Colour.RED}, {"red": "red"}),
    ],
)
def test_numpy_scalars_and_enumerations_come_back_as_plain_values(sent, back):
    assert same(decode(encode([sent])), [back])
    assert math.isnan(decode(encode(float("nan"))))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", ">i4", "float32", "float64"])
def test_arrays_come_back(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    back = decode(encode({"a": array}))["a"]
    assert back.dtype == array.dtype.newbyteorder("=")
    assert np.array_equal(back, array)
    back[0, 0] = 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1, 2}, "is a set"),
        (datetime(2026, 1, 1), "is a datetime"),  # noqa: DTZ001
        (torch.zeros(2), "is a Tensor"),
        (len, "is a builtin_function_or_method"),
        (1j, "is a complex"),
        (10**1200, "is a number of more than"),
        (np.array(["a"]), "is an array of <U1"),
        (np.zeros(2**18), "is an array of 2097152 bytes"),
        (np.zeros((1,) * 9), "is an array of 9 axes"),
    ],
)
def test_what_cannot_travel_is_refused_with_its_place(value, message):
    payload = Payload(None, ["a", {"x": value}], None)
    with pytest.raises(WireError) as refused:
        encode(payload)
    assert str(refused.value).startswith(f"actions[1]['x'] {message}")


def test_refusals_name_places_in_metadata_keys_and_batches():
    with pytest.raises(WireError, match=r"payload\['q'\]\[0\]\.metadata\['x'\] is a set"):
        encode({"q": [Payload(None, None, {"x": {1}})]})
    with pytest.raises(WireError, match="payload has a key that is a frozenset"):
        encode({frozenset(): 1})
    with pytest.raises(WireError, match="not valid Unicode"):
        encode("\ud800")


def test_bounds_hold_on_both_sides(monkeypatch):
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(WireError, match="deeper than"):
        encode(loop)
    with pytest.raises(WireError, match="bytes, and"):
        encode("x" * (wire.MAX_BYTES + 1))
    with pytest.raises(WireError, match="too many"):
        decode(b"\xc0" * (wire.MAX_BYTES + 1))
    with pytest.raises(WireError, match="more than"):
        encode([0] * (wire.MAX_VALUES + 1))
    many = msgspec.msgpack.encode([wire.LIST, *[0] * (wire.MAX_VALUES + 1)])
    with pytest.raises(WireError, match="more than"):
        decode(many)
    with pytest.raises(WireError, match="keys that are not text"):
        encode(dict.fromkeys(range(wire.MAX_KEYS + 1)))
    half = [wire.MAPPING, *[part for key in range(wire.MAX_KEYS // 2 + 1) for part in (key, None)]]
    with pytest.raises(WireError, match="keys that are not text"):
        decode(msgspec.msgpack.encode([wire.LIST, half, half]))
    deep: object = [wire.LIST]
    for _ in range(wire.MAX_DEPTH + 1):
        deep = [wire.LIST, deep]
    with pytest.raises(WireError, match="deeper"):
        decode(msgspec.msgpack.encode(deep))


@pytest.mark.parametrize(
    "tree",
    [
        [],
        ["list"],
        [True, 1],
        [99],
        [-1, 2],
        [wire.MAPPING, 1],
        [wire.MAPPING, 1, 2, 1, 3],
        [wire.MAPPING, [wire.LIST], 2],
        {1: 2},
        [wire.PAYLOAD, 1, 2],
        [wire.WORLD_STATE, 1, 2, 3, 4],
        [wire.INTEGER, "9" * 2000],
        [wire.INTEGER, "0x1"],
        [wire.INTEGER, "²"],
        [wire.INTEGER, 5],
        [wire.ARRAY, "|O", [1], b"12345678"],
        [wire.ARRAY, "<f4", [2], b"1234"],
        [wire.ARRAY, "<f4", [-1], b"1234"],
        [wire.ARRAY, "<f4", [2**40, 2**40], b""],
        [wire.ARRAY, "<f4", [1] * 99, b"1234"],
        [wire.ARRAY, "|b1", [0, *[2**20] * 7], b""],
        [wire.ARRAY, "<f4", 1, b"1234"],
        msgspec.msgpack.Ext(5, b"x"),
        [wire.LIST, datetime(2026, 1, 1, tzinfo=UTC)],
    ],
)
def test_damaged_trees_are_refused(tree):
    with pytest.raises(WireError, match="not a payload"):
        decode(msgspec.msgpack.encode(tree))


@pytest.mark.parametrize(
    "data", [b"", b"\xdd\xff\xff\xff\xff", b"\x91" * 100_000, b"\xc1", b"\x80junk", b"\xa1\xff"]
)
def test_strange_bytes_are_refused(data):
    with pytest.raises(WireError):
        decode(data)


SAMPLE = encode({"q": [Payload(WorldState({"a": (1, 2.5)}, None, {3: np.arange(3)}), ["x", 2**90], None)]})


@given(st.binary(max_size=60) | st.tuples(st.integers(0, len(SAMPLE) - 1), st.binary(min_size=1, max_size=4)))
@settings(max_examples=400)
def test_fuzzed_bytes_give_a_value_or_a_wire_error(noise):
    data = (
        noise
        if isinstance(noise, bytes)
        else SAMPLE[: noise[0]] + noise[1] + SAMPLE[noise[0] + len(noise[1]) :]
    )
    try:
        value = decode(data)
    except WireError:
        return
    encode(value)  # whatever comes through is made of what may travel
