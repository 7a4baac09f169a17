"""How a game's payloads travel: msgpack in which everything but plain values carries an explicit tag.

GenRL's own coding turns tuples into lists, loses dicts whose keys are numbers, and refuses numpy. Here a payload comes
back as it was sent, but for these: numpy scalars come back as plain numbers, named tuples as tuples, and subclasses of
dict, list, str and int as these. What cannot travel is refused by the sender, with the place in the payload.

Nothing is ever unpickled or imported. A receiver gets a value or a `WireError`: sizes, depth and the number of values
are bounded, and an unknown tag is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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
_DTYPES = {
    np.dtype(name).str: np.dtype(name) for name in ("?", "u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8")
}
_DTYPES |= {np.dtype(name).str: np.dtype(name) for name in ("<i8", "<f2", "<f4", "<f8")}
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
        raise WireError(f"the bytes are not a payload: {error}") from error
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
        if value is None or isinstance(value, (bool, bytes)):
            return value
        if isinstance(value, str):
            return str.__str__(value)  # that of an enumeration would say its name
        if isinstance(value, (int, np.integer)):
            return _integer(int(value), where)
        if isinstance(value, (float, np.floating)):
            return float(value)
        if isinstance(value, np.bool_):
            return bool(value)
        return self._container(value, where, depth)

    def _container(self, value: Any, where: str, depth: int) -> Any:
        if isinstance(value, dict):
            return self._mapping(value, where, depth)
        if isinstance(value, (list, tuple)):
            tag = LIST if isinstance(value, list) else TUPLE
            return [tag, *(self.pack(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value))]
        for tag, (kind, fields) in _FIELDS.items():
            if isinstance(value, kind):
                root = "" if where == "payload" else f"{where}."
                return [tag, *(self.pack(getattr(value, f), f"{root}{f}", depth + 1) for f in fields)]
        if isinstance(value, np.ndarray):
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
        if value is None or isinstance(value, (bool, int, float, str, bytes)):
            return value
        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                raise WireError("the bytes are not a payload: a plain map has a key that is not text")
            return {key: self.unpack(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list) and value and type(value[0]) is int:
            return self._tagged(value[0], value[1:], depth)
        raise WireError(f"the bytes are not a payload: a {type(value).__name__} without a tag")

    def _tagged(self, tag: int, parts: list[Any], depth: int) -> Any:
        if tag in {LIST, TUPLE}:
            items = [self.unpack(part, depth + 1) for part in parts]
            return items if tag == LIST else tuple(items)
        if tag == MAPPING:
            return self._mapping([self.unpack(part, depth + 1) for part in parts])
        if tag in _FIELDS:
            kind, fields = _FIELDS[tag]
            if len(parts) != len(fields):
                raise WireError(f"the bytes are not a payload: a {kind.__name__} of {len(parts)} parts")
            return kind(*(self.unpack(part, depth + 1) for part in parts))
        read = _READERS.get(tag)
        if read is None:
            raise WireError(f"the bytes are not a payload: unknown tag {tag}")
        return read(parts)

    def _mapping(self, items: list[Any]) -> dict[Any, Any]:
        if len(items) % 2:
            raise WireError("the bytes are not a payload: a dict with a key and no value")
        self.spend_keys(len(items) // 2)
        try:
            found = dict(zip(items[::2], items[1::2], strict=True))
        except TypeError as error:
            raise WireError(f"the bytes are not a payload: a key of a dict: {error}") from error
        if 2 * len(found) != len(items):
            raise WireError("the bytes are not a payload: a dict has a key twice")
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
    if len(parts) != 1 or not isinstance(parts[0], str) or len(parts[0]) > MAX_DIGITS:
        raise WireError("the bytes are not a payload: a damaged integer")
    if not parts[0].removeprefix("-").isdecimal() or not parts[0].isascii():
        raise WireError("the bytes are not a payload: a malformed integer")
    return int(parts[0])


def _read_array(parts: list[Any]) -> np.ndarray[Any, Any]:
    """A copy that may be written to."""
    match parts:
        case [str(name), list(shape), bytes(data)] if name in _DTYPES and len(shape) <= MAX_AXES:
            sizes = [size for size in shape if type(size) is int and 0 <= size <= MAX_ARRAY_BYTES]
            # numpy multiplies the sizes that are not 0 even where there is nothing to hold.
            held = math.prod(size for size in sizes if size) <= MAX_ARRAY_BYTES
            if held and len(sizes) == len(shape) and math.prod(sizes) * _DTYPES[name].itemsize == len(data):
                return np.frombuffer(data, _DTYPES[name]).reshape(sizes).copy()
    raise WireError("the bytes are not a payload: a damaged array")


_READERS: dict[int, Callable[[list[Any]], Any]] = {INTEGER: _read_integer, ARRAY: _read_array}
