"""How a game's payloads travel: msgpack in which everything but plain values carries an explicit tag.

GenRL's own coding turns tuples into lists, loses dicts whose keys are numbers, and refuses numpy. Here a payload comes
back as it was sent, but for these: numpy scalars come back as plain numbers, named tuples as tuples, and subclasses of
dict, list, str and int as these. What cannot travel is refused by the sender, with the place in the payload.

Nothing is ever unpickled or imported. A receiver gets a value or a `WireError`: sizes, depth and the number of values
are bounded, and an unknown tag is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import numpy as np
from genrl.communication import Payload
from genrl.state import WorldState

from swarm_ray.errors import SwarmError

MAX_BYTES = 4 * 2**20
"""Of an encoded payload; a hostile one of so many bytes takes a few hundred megabytes before it is refused."""
MAX_DEPTH = 48
"""Of values within values; a third stage's state, which holds those of the two before, needs about a dozen."""
MAX_VALUES = 500_000
MAX_KEYS = 5000
"""Of a payload's dicts, those that are no text: their hashes can be chosen alike, which makes a dict slow."""
MAX_ARRAY_BYTES = 2**20
MAX_AXES = 8
"""Of an array."""
MAX_DIGITS = 1000
"""Of an integer beyond 64 bits."""

LIST, TUPLE, MAPPING, PAYLOAD, WORLD_STATE, INTEGER, ARRAY = range(7)
"""A tagged value is an array that begins with one of these; a plain map has text keys alone."""
_KEYS = (str, int, float, bool, bytes, tuple, type(None))
_INTEGER = re.compile("-?[0-9]+")
_NUMBERS = ("?", "u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8")
_DTYPES = {np.dtype(name).str: np.dtype(name) for name in _NUMBERS}
_FIELDS: dict[int, tuple[type[Any], tuple[str, ...]]] = {
    PAYLOAD: (Payload, ("world_state", "actions", "metadata")),
    WORLD_STATE: (WorldState, ("environment_states", "opponent_states", "personal_states")),
}


class WireError(SwarmError):
    """A payload cannot travel, or bytes from another node are no payload."""


def encode(obj: Any) -> bytes:
    """A payload as bytes.

    Args:
        obj: Payload, WorldState, dict, list, tuple, text, numbers, bytes, None and small numeric arrays in any
            combination.

    Raises:
        WireError: something in it cannot travel (the message says where and why), or it is too large.
    """
    try:
        data = msgspec.msgpack.encode(_Packer().pack(obj, "payload", 0))
    except UnicodeEncodeError as error:
        raise WireError(
            f"a text of the payload is not valid Unicode: {error.reason}; send other text"
        ) from error
    if len(data) > MAX_BYTES:
        raise WireError(
            f"the payload has {len(data)} bytes, and {MAX_BYTES} may travel; share less per stage"
        )
    return data


def decode(data: bytes) -> Any:
    """What `encode` was given.

    Raises:
        WireError: the bytes are not a payload, or are beyond the bounds.
    """
    if len(data) > MAX_BYTES:
        raise WireError(f"{len(data)} bytes are too many for a payload; {MAX_BYTES} may travel")
    try:
        tree = msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError, TypeError) as error:
        raise _not_payload(str(error)) from error
    return _Unpacker().unpack(tree, 0)


class _Budget:
    """Counts the values and the keys of one payload; the depth is counted along the way."""

    def __init__(self) -> None:
        self._values_left, self._keys_left = MAX_VALUES, MAX_KEYS

    def spend(self, depth: int, where: str = "the payload") -> None:
        self._values_left -= 1
        if self._values_left < 0:
            raise WireError(f"{where} makes it more than {MAX_VALUES} values; share less per stage")
        if depth > MAX_DEPTH:
            raise WireError(
                f"{where} lies deeper than {MAX_DEPTH} values within values (does it hold itself?)"
            )

    def spend_keys(self, count: int, where: str = "the payload") -> None:
        self._keys_left -= count
        if self._keys_left < 0:
            raise WireError(f"{where} makes it more than {MAX_KEYS} keys that are not text; send fewer")


class _Packer(_Budget):
    """One payload on its way to plain msgpack values."""

    def pack(self, value: Any, where: str, depth: int) -> Any:
        """The tagged form of a value that stands at `where`."""
        self.spend(depth, where)
        match value:
            case None | bool() | bytes():
                return value
            case str():
                return str.__str__(value)  # that of an enumeration would say its name
            case int() | np.integer():
                return _integer(int(value), where)
            case float() | np.floating():
                return float(value)
            case np.bool_():
                return bool(value)
        return self._container(value, where, depth)

    def _container(self, value: Any, where: str, depth: int) -> Any:
        match value:
            case dict():
                return self._mapping(value, where, depth)
            case list() | tuple():
                items = (self.pack(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value))
                return [LIST if isinstance(value, list) else TUPLE, *items]
            case Payload() | WorldState():
                tag = PAYLOAD if isinstance(value, Payload) else WORLD_STATE
                root = "" if where == "payload" else f"{where}."
                return [
                    tag,
                    *(self.pack(getattr(value, f), f"{root}{f}", depth + 1) for f in _FIELDS[tag][1]),
                ]
            case np.ndarray():
                return _array(value, where)
        raise WireError(
            f"{where} is a {type(value).__name__}, which cannot travel; send text, numbers, lists, tuples or dicts"
        )

    def _mapping(self, value: dict[Any, Any], where: str, depth: int) -> Any:
        plain = all(isinstance(key, str) for key in value)
        packed: list[Any] = [MAPPING]
        for key, item in value.items():
            if not isinstance(key, (*_KEYS, np.integer, np.floating)):
                raise WireError(f"{where} has a key that is a {type(key).__name__}, which cannot travel")
            if not plain:
                packed.append(self.pack(key, f"{where}'s key {key!r:.40}", depth + 1))
            packed.append(self.pack(item, f"{where}[{key!r:.40}]", depth + 1))
        if plain:
            return dict(zip(map(str.__str__, value), packed[1:], strict=True))
        self.spend_keys(len(value), where)
        return packed


class _Unpacker(_Budget):
    """Plain msgpack values on their way back to a payload."""

    def unpack(self, value: Any, depth: int) -> Any:
        """The value of a tagged form."""
        self.spend(depth)
        match value:
            case None | bool() | int() | float() | str() | bytes():
                return value
            case dict() if all(isinstance(key, str) for key in value):
                return {key: self.unpack(item, depth + 1) for key, item in value.items()}
            case [bool(), *_]:
                pass
            case [int(tag), *_] if tag not in _READERS and tag not in _BUILDERS:
                raise _not_payload(f"unknown tag {tag}")
            case [int(tag), *parts] if tag in _READERS:
                return _READERS[tag](parts)
            case [int(tag), *parts] if tag in _BUILDERS:
                return self._built(tag, [self.unpack(part, depth + 1) for part in parts])
        raise _not_payload(f"a {type(value).__name__} without a tag that is known")

    def _built(self, tag: int, parts: list[Any]) -> Any:
        """A value from its parts, which have been unpacked."""
        if tag == MAPPING:
            self.spend_keys(len(parts) // 2)
        try:
            return _BUILDERS[tag](parts)
        except (TypeError, ValueError) as error:  # another number of fields, a key that cannot be one
            raise _not_payload(str(error)) from error


def _not_payload(problem: str) -> WireError:
    return WireError(f"the bytes are not a payload: {problem}")


def _pairs(parts: list[Any]) -> dict[Any, Any]:
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    if 2 * len(found) != len(parts):
        raise ValueError("a dict has a key twice")
    return found


def _integer(value: int, where: str) -> Any:
    if -(2**63) <= value < 2**64:
        return value
    if value.bit_length() > 3 * MAX_DIGITS:  # more than MAX_DIGITS - 100 digits
        raise WireError(f"{where} is a number of more than {value.bit_length()} bits, which cannot travel")
    return [INTEGER, str(value)]


def _array(value: np.ndarray[Any, Any], where: str) -> Any:
    dtype = value.dtype.newbyteorder("<")
    if dtype.str not in _DTYPES:
        raise WireError(f"{where} is an array of {value.dtype}, which cannot travel; send numbers")
    if value.ndim > MAX_AXES:
        raise WireError(f"{where} is an array of {value.ndim} axes; {MAX_AXES} may travel")
    if value.nbytes > MAX_ARRAY_BYTES:
        raise WireError(f"{where} is an array of {value.nbytes} bytes; {MAX_ARRAY_BYTES} may travel")
    return [ARRAY, dtype.str, list(value.shape), value.astype(dtype).tobytes()]


def _read_integer(parts: list[Any]) -> int:
    match parts:
        case [str(digits)] if len(digits) <= MAX_DIGITS and _INTEGER.fullmatch(digits):
            return int(digits)
    raise _not_payload("a damaged integer")


def _read_array(parts: list[Any]) -> np.ndarray[Any, Any]:
    """A copy that may be written to."""
    match parts:
        case [str(name), list(shape), bytes(data)] if name in _DTYPES and len(shape) <= MAX_AXES:
            sizes = [size for size in shape if type(size) is int and 0 <= size <= MAX_ARRAY_BYTES]
            # numpy multiplies the sizes that are not 0 even where there is nothing to hold.
            held = math.prod(size for size in sizes if size) <= MAX_ARRAY_BYTES
            if held and len(sizes) == len(shape) and math.prod(sizes) * _DTYPES[name].itemsize == len(data):
                return np.frombuffer(data, _DTYPES[name]).reshape(sizes).copy()
    raise _not_payload("a damaged array")


def _record(tag: int, parts: list[Any]) -> Any:
    kind, fields = _FIELDS[tag]
    return kind(**dict(zip(fields, parts, strict=True)))


_READERS: dict[int, Callable[[list[Any]], Any]] = {INTEGER: _read_integer, ARRAY: _read_array}
"""Of what follows the tag as it stands in the bytes."""
_BUILDERS: dict[int, Callable[[list[Any]], Any]] = {
    LIST: list,
    TUPLE: tuple,
    MAPPING: _pairs,
    PAYLOAD: partial(_record, PAYLOAD),
    WORLD_STATE: partial(_record, WORLD_STATE),
}
"""Of what follows the tag, unpacked."""
