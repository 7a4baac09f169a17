"""A sweep's file as written: its keys checked, each error with the line it is about.

    name: splits
    preset: tiny
    set: {nodes: 4, rounds: 30}
    grid:
      local, external: [[8, 0], [6, 2], [4, 4], [2, 6]]
    seeds: [0, 1, 2]
    baseline: {local: 8, external: 0}

Keys of the grid are multiplied with each other. Keys that go together share one entry, separated by commas, and each
item of its list has a value for each of them: it reads like the head of a table above its rows, and a row cannot
forget a key, as one of a list of mappings could.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from drive_store import valid_id
from swarm_ray.config.load import load_config
from swarm_ray.config.schema import SwarmConfig, dotted_keys
from swarm_ray.config.secrets import refuse_secrets, shown, without_secrets
from swarm_ray.config.yaml import Loader, parse_mapping, read_bytes
from swarm_ray.errors import ConfigError

KEYS = ("name", "preset", "set", "grid", "seeds", "baseline")
MOST_NAME = 32
"""Characters of a sweep's name; an experiment's has at most 63, part of which is for values and seed."""
OWN_KEYS = {"seed": "seeds", "preset": "preset"}
"""Configuration keys with their own key in the file."""

Line = tuple[str, ...]


@dataclass(frozen=True)
class Axis:
    """Keys that change together, and the values they take."""

    keys: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    """Each has a value per key."""


@dataclass(frozen=True)
class SweepFile:
    """The parsed file, with known keys and valid shapes; values are not checked yet."""

    where: str
    """Its path, for errors."""
    name: str
    preset: str | None
    fixed: dict[str, Any]
    """Dotted key to value, for every run."""
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    baseline: dict[str, Any]
    """Dotted key to value; empty where none was named."""
    lines: dict[Line, int]
    """The line of each key, by the way to it: `("grid", "local, external")`."""

    def mistake(self, problem: str, *way: str) -> ConfigError:
        """The error for `problem`, with the file and the line of the key that `way` leads to."""
        line = self.lines.get(way)
        return ConfigError(without_secrets(f"{self.where}{f', line {line}' if line else ''}: {problem}"))


def read_file(path: Path) -> SweepFile:
    """Read a sweep's file.

    Raises:
        ConfigError: it cannot be read, is malformed, or holds a key that is unknown, duplicate or secret.
    """
    data = read_bytes(path)
    values = parse_mapping(data, str(path))
    refuse_secrets(values, str(path))
    lines = dict(_marks(yaml.compose(data.decode("utf-8-sig"), Loader), ()))
    file = SweepFile(str(path), "", None, {}, (), (), {}, lines)  # it knows where mistakes are
    for key in values:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise file.mistake(f"{key}: unknown key; {hint}a sweep has {', '.join(KEYS)}", key)
    fixed = _settings(file, values.get("set"), "set")
    axes = tuple(_axes(file, values.get("grid")))
    _check_grid(file, fixed, axes)
    preset = values.get("preset")
    if preset is not None and not isinstance(preset, str):
        raise file.mistake(f"preset: {shown(preset)} is not a name", "preset")
    return replace(
        file,
        name=_name(file, values.get("name")),
        preset=preset,
        fixed=fixed,
        axes=axes,
        seeds=_seeds(file, values.get("seeds")),
        baseline=_settings(file, values.get("baseline"), "baseline"),
    )


def _name(file: SweepFile, name: object) -> str:
    if name is None:
        raise file.mistake("name: this key is missing; the experiments' names begin with it", "name")
    if not isinstance(name, str) or not valid_id(name) or len(name) > MOST_NAME:
        raise file.mistake(
            f"name: {shown(name)} cannot name a sweep: use lower-case letters, digits, - and _ (at most {MOST_NAME})",
            "name",
        )
    return name


def _seeds(file: SweepFile, seeds: object) -> tuple[int, ...]:
    if not isinstance(seeds, list) or not seeds:
        raise file.mistake("seeds: give a list of whole numbers, such as [0, 1, 2]", "seeds")
    for seed in seeds:
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise file.mistake(
                f"seeds: {shown(seed)} is not a seed; give a whole number, 0 or above", "seeds"
            )
        if seeds.count(seed) > 1:
            raise file.mistake(f"seeds: {seed} is given twice, and would be the same run again", "seeds")
    return tuple(seeds)


def _settings(file: SweepFile, values: object, place: str) -> dict[str, Any]:
    """Sections and dotted keys as dotted keys alone, all of them known."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise file.mistake(f"{place}: give a mapping of configuration keys, such as {{rounds: 30}}", place)
    flat: dict[str, Any] = {}
    for way, key, value in _flat(values, (place,), ""):
        if key in flat:
            raise file.mistake(f"{place}: {key} is given twice; remove one", *way)
        _require_known(file, key, value, way)
        flat[key] = value
    return flat


def _flat(values: Mapping[Any, Any], way: Line, prefix: str) -> Iterator[tuple[Line, str, Any]]:
    """The way to each setting, its dotted key and its value; sections are entered, options are not."""
    sections = {key.rpartition(".")[0] for key in dotted_keys(SwarmConfig)}
    for name, value in values.items():
        key = f"{prefix}{name}"
        if key in sections and isinstance(value, Mapping):
            yield from _flat(value, (*way, str(name)), f"{key}.")
        else:
            yield (*way, str(name)), key, value


def _axes(file: SweepFile, grid: object) -> Iterator[Axis]:
    if grid is None:
        return
    if not isinstance(grid, Mapping):
        raise file.mistake("grid: give a mapping of configuration keys to lists of values", "grid")
    for head, rows in grid.items():
        way = ("grid", str(head))
        keys = tuple(part.strip() for part in str(head).split(","))
        if not isinstance(rows, list) or not rows:
            raise file.mistake(f"grid: {head} needs a list of the values that it takes", *way)
        for key in keys:
            _require_known(file, key, rows[0], way)
        yield Axis(keys, tuple(_row(file, keys, row, way) for row in rows))


def _row(file: SweepFile, keys: tuple[str, ...], row: object, way: Line) -> tuple[Any, ...]:
    """One value per key."""
    if len(keys) == 1:
        return (row,)
    if not isinstance(row, list) or len(row) != len(keys):
        raise file.mistake(
            f"grid: {way[-1]} needs {len(keys)} values in each item, such as [{', '.join(keys)}], not {shown(row)}",
            *way,
        )
    return tuple(row)


def _require_known(file: SweepFile, key: str, value: object, way: Line) -> None:
    """Refuse unknown configuration keys, and keys with their own key in the file."""
    if key in OWN_KEYS:
        raise file.mistake(f"{way[0]}: {key} has its own key; write it under `{OWN_KEYS[key]}:`", *way)
    if key in dotted_keys(SwarmConfig):
        return
    try:
        load_config(overrides={key: value})
    except ConfigError as error:
        raise file.mistake(f"{way[0]}: {error}", *way) from None
    raise file.mistake(f"{way[0]}: {shown(key)} is not a configuration key", *way)


def _check_grid(file: SweepFile, fixed: Mapping[str, Any], axes: tuple[Axis, ...]) -> None:
    """Refuse a key that is set twice, since one value would be ignored."""
    places = [(axis, key) for axis in axes for key in axis.keys]
    for number, (axis, key) in enumerate(places):
        if key in [earlier for _, earlier in places[:number]]:
            raise file.mistake(f"grid: {key} is given twice; remove one", "grid", ", ".join(axis.keys))
        if key in fixed:
            raise file.mistake(f"set: {key} is in the grid too; remove one", "set", key)


def _marks(node: yaml.Node | None, way: Line) -> Iterator[tuple[Line, int]]:
    """The line of each key, of a document that `parse_mapping` has taken."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*way, str(key.value))
            yield below, key.start_mark.line + 1
            yield from _marks(value, below)
