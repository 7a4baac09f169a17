"""Turns the errors of pydantic into one line that names the key, the value and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from swarm_ray.config.schema import Section, SwarmConfig, dotted_keys, is_section
from swarm_ray.config.secrets import shown, without_secrets
from swarm_ray.errors import ConfigError

LONGEST = 500
"""Characters of a message, since a stranger's file may have keys and values of any length."""


def one_line(error: ValidationError, layers: Sequence[tuple[str, Mapping[str, Any]]]) -> ConfigError:
    """The first of the errors in one line, and how many more there are.

    Args:
        error: Of a `SwarmConfig`.
        layers: What the configuration was made of, the later over the earlier: a label (a file's name, or
            empty) and its values. The label of the uppermost layer that holds the key stands before it.
    """
    by_key: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        by_key.setdefault(_place(detail["loc"]).key, []).append(detail)
    same = next(iter(by_key.values()))
    label = next((label for label, values in reversed(layers) if _holds(values, same[0]["loc"])), "")
    more = f" (and {len(by_key) - 1} more)" if len(by_key) > 1 else ""
    return ConfigError(without_secrets(f"{label + ': ' if label else ''}{_text(same)[:LONGEST]}{more}"))


class _Place(NamedTuple):
    """Where an error lies."""

    key: str
    """As users write it."""
    parent: type[Section] | None
    """The section that has or lacks it; None within a list."""
    section: type[Section] | None
    """The section there, if it is one."""


def _place(loc: tuple[int | str, ...]) -> _Place:
    key = ""
    parent: type[Section] | None = None
    here: object = SwarmConfig
    for part in loc:
        if isinstance(part, int):
            key = f"{key}[{part}]"
            parent, here = None, next(iter(get_args(here)), None)
        elif is_section(here):
            key = f"{key}.{part}".lstrip(".")
            parent, field = here, here.model_fields.get(part)
            here = field.annotation if field else None
        # Otherwise pydantic names the member of a union, which is not a key.
    return _Place(key, parent, here if is_section(here) else None)


def _text(details: Sequence[ErrorDetails]) -> str:
    """What is wrong at one key; several details are the members of a union."""
    first = details[0]
    place = _place(first["loc"])
    if first["type"] == "extra_forbidden":
        return _unknown(place)
    if first["type"] == "missing":
        return f"{place.key}: this key is missing"
    if first["type"] == "value_error":
        text = str(first["ctx"]["error"])
        return text if place.section is not None else f"{place.key}: {text}"
    allowed = " or ".join(dict.fromkeys(_allowed(detail, place) for detail in details))
    return f"{place.key}: {shown(first['input'])} is not possible; it must be {allowed}"


def _unknown(place: _Place) -> str:
    """An unknown key, the nearest known ones, and those that its section has."""
    where, _, name = place.key.rpartition(".")
    allowed = tuple(place.parent.model_fields) if place.parent else ()
    near = difflib.get_close_matches(name, allowed, n=2)
    if not near:
        near = [key for key in dotted_keys(SwarmConfig) if key.rpartition(".")[2] == name]
    near = near or difflib.get_close_matches(place.key, dotted_keys(SwarmConfig), n=1)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{place.key}: unknown key; {hint}{where or 'the top level'} has {', '.join(allowed)}"


def _allowed(detail: ErrorDetails, place: _Place) -> str:
    """What would be possible, after "it must be"."""
    if detail["type"] == "literal_error":
        return str(detail["ctx"]["expected"])
    if detail["type"] == "tuple_type":
        return "a list, such as [a, b]"
    if detail["type"] == "string_pattern_mismatch":
        return f"a text that matches {detail['ctx']['pattern']}"
    if place.section is not None:
        return f"a mapping of {', '.join(place.section.model_fields)}"
    return detail["msg"].removeprefix("Input should be ").partition(",")[0]


def _holds(values: Mapping[str, Any], loc: tuple[int | str, ...]) -> bool:
    """Whether a layer has the key that `loc` names; within a list, the list's key counts."""
    value: Any = values
    for part in loc:
        if not isinstance(value, Mapping):
            return True
        if part not in value:
            return False
        value = value[part]
    return bool(loc)
