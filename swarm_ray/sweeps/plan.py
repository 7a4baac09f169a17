"""From a sweep's file to the list of its runs, every configuration loaded: pure, and before anything runs."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drive_store import valid_id
from swarm_ray.config.load import load_config, to_json
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.config.secrets import shown
from swarm_ray.errors import ConfigError
from swarm_ray.formatting import clean
from swarm_ray.sweeps.file import SweepFile, read_file

MOST_RUNS = 1000
LONGEST_ID = 63
MOST_SHOWN = 40
_PLAIN = re.compile(r"[a-z0-9_-]{1,16}")


@dataclass(frozen=True)
class GridPoint:
    """One setting of the grid's keys; all its runs differ in their seeds alone."""

    values: tuple[tuple[str, Any], ...]
    """Dotted key and value, in the order of the file."""

    @property
    def label(self) -> str:
        """`local=8, external=0`: for people."""
        names = _short_names([key for key, _ in self.values])
        return ", ".join(f"{names[key]}={_shown(value)}" for key, value in self.values) or "the only setting"

    @property
    def slug(self) -> str:
        """`local8-external0`: for the names of experiments."""
        names = _short_names([key for key, _ in self.values])
        return "-".join(f"{names[key].replace('.', '_')}{_slug(value)}" for key, value in self.values)


@dataclass(frozen=True)
class SweepRun:
    """One experiment of a sweep."""

    point: GridPoint
    seed: int
    experiment: str
    config: SwarmConfig


@dataclass(frozen=True)
class SweepPlan:
    """All runs of a sweep, point by point and in each seed by seed."""

    name: str
    where: str
    """The file, for errors."""
    points: tuple[GridPoint, ...]
    seeds: tuple[int, ...]
    baseline: GridPoint | None
    runs: tuple[SweepRun, ...]


def read_plan(path: Path) -> SweepPlan:
    """The runs of a sweep's file.

    Raises:
        ConfigError: the file is wrong, a run's configuration is impossible, or two runs would be the same.
    """
    file = read_file(path)
    points = _points(file)
    configs = [_config(file, point) for point in points]
    _refuse_twins(file, points, configs)
    runs = tuple(
        SweepRun(
            point, seed, experiment_name(file.name, point, seed), config.model_copy(update={"seed": seed})
        )
        for point, config in zip(points, configs, strict=True)
        for seed in file.seeds
    )
    _refuse_names(file, runs)
    return SweepPlan(file.name, file.where, points, file.seeds, _baseline(file, points), runs)


def experiment_name(sweep: str, point: GridPoint, seed: int) -> str:
    """`<sweep>-<point>-s<seed>`: an id that is independent of the rest of the file, so it is stable.

    Where that is too long, the middle is cut and ends with a hash of the whole.
    """
    end = f"-s{seed}"
    room = LONGEST_ID - len(sweep) - len(end) - 1
    slug = point.slug
    if len(slug) > room:
        slug = f"{slug[: room - 9]}-{_hash(slug, 8)}"
    return f"{sweep}-{slug}{end}" if slug else f"{sweep}{end}"


def _points(file: SweepFile) -> tuple[GridPoint, ...]:
    """Every row of every axis with every row of the others; the last axis changes fastest."""
    count = math.prod(len(axis.rows) for axis in file.axes) * len(file.seeds)
    if count > MOST_RUNS:
        raise file.mistake(f"grid: {count} runs are more than {MOST_RUNS}; make several sweeps of it", "grid")
    return tuple(
        GridPoint(
            tuple(
                (key, value)
                for axis, row in zip(file.axes, rows, strict=True)
                for key, value in zip(axis.keys, row, strict=True)
            )
        )
        for rows in itertools.product(*[axis.rows for axis in file.axes])
    )


def _config(file: SweepFile, point: GridPoint) -> SwarmConfig:
    """What all runs of a point have in common; a whole swarm waits for all its nodes, as in `Swarm`."""
    try:
        config = load_config(file.preset, overrides={**file.fixed, **dict(point.values)})
    except ConfigError as error:
        way = _way_to(file, str(error).partition(":")[0])
        problem = f"{error} (grid point {point.label})" if point.values else str(error)
        raise file.mistake(problem, *way) from None
    return config.model_copy(
        update={"pace": config.pace.model_copy(update={"expect": config.nodes}), "seed": file.seeds[0]}
    )


def _way_to(file: SweepFile, key: str) -> tuple[str, ...]:
    """Where in the file a configuration key is set, if one line says so."""
    key = key.partition("[")[0]
    for way in file.lines:
        heads = [part.strip() for part in way[-1].split(",")] if way[0] == "grid" else []
        if key in heads or (way[0] == "set" and ".".join(way[1:]) == key):
            return way
    return (key,)


def _refuse_twins(file: SweepFile, points: Sequence[GridPoint], configs: Sequence[SwarmConfig]) -> None:
    """Refuse two points with one configuration: their runs would be counted twice."""
    seen: dict[str, GridPoint] = {}
    for point, config in zip(points, configs, strict=True):
        other = seen.setdefault(json.dumps(to_json(config), sort_keys=True), point)
        if other is not point:
            raise file.mistake(f"grid: {other.label} and {point.label} are the same run; remove one", "grid")


def _refuse_names(file: SweepFile, runs: Sequence[SweepRun]) -> None:
    seen: dict[str, SweepRun] = {}
    for run in runs:
        other = seen.setdefault(run.experiment, run)
        if other is not run or not valid_id(run.experiment):
            raise file.mistake(
                f"grid: {other.point.label} and {run.point.label} would both be called {run.experiment}; "
                "write their values so that they look different",
                "grid",
            )


def _baseline(file: SweepFile, points: Sequence[GridPoint]) -> GridPoint | None:
    """The one grid point that has all the values that `baseline` names."""
    if not file.baseline:
        return None
    found = [point for point in points if _has(dict(point.values), file.baseline)]
    if len(found) == 1:
        return found[0]
    asked = ", ".join(f"{key}={shown(value)}" for key, value in file.baseline.items())
    labels = "; ".join(point.label for point in points[:9])
    what = "several grid points" if found else "no grid point"
    raise file.mistake(f"baseline: {asked} names {what}; name one of: {labels}", "baseline")


def _has(values: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(
        key in values and values[key] == value and isinstance(values[key], bool) == isinstance(value, bool)
        for key, value in wanted.items()
    )


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each key, or the whole key if two end alike."""
    ends = [key.rpartition(".")[2] for key in keys]
    return {key: key if ends.count(end) > 1 else end for key, end in zip(keys, ends, strict=True)}


def _spelled(value: object) -> str:
    """A value as people write it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown(value: object) -> str:
    """A value on one line; a long one ends in a hash of the whole, to keep it distinct."""
    text = clean(_spelled(value))
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 10]}...{_hash(_spelled(value), 6)}"


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def _slug(value: object) -> str:
    """A value in the letters of an id; others are removed, and a hash of the whole is added."""
    text = _spelled(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return text.replace(".", "p").replace("+", "")
    if _PLAIN.fullmatch(text):
        return text
    kept = re.sub(r"[^a-z0-9]+", "-", text.lower())[:12].strip("-")
    return f"{kept}-{_hash(text, 6)}".lstrip("-")
