"""Loads configurations: defaults, a preset, a YAML file and `key=value` overrides, each over the one before.

Every mistake is a `ConfigError` of one line. Neither torch nor Ray is imported, so a configuration is checked
on a machine that has neither.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from swarm_ray.config.diff import (
    canonical_json,
    config_hash,
    differences,
    laid_over,
    local_json,
    nested,
    to_json,
)
from swarm_ray.config.errors import one_line
from swarm_ray.config.schema import SwarmConfig, is_section
from swarm_ray.config.secrets import refuse_secrets, shown, without_secrets
from swarm_ray.config.yaml import parse_mapping, parse_scalar, read_mapping, render_yaml
from swarm_ray.errors import ConfigError

__all__ = [
    "Overrides",
    "canonical_json",
    "config_hash",
    "differences",
    "extend_config",
    "join_config",
    "load_config",
    "named_modules",
    "parse_stored",
    "presets",
    "read_overrides",
    "render_yaml",
    "require_same_experiment",
    "take_changes",
    "to_json",
    "value_of",
]

Overrides = Sequence[str] | Mapping[str, Any]
"""`["grpo.learning_rate=1e-4", …]`, or a mapping of dotted keys or sections to Python values."""

Values = dict[str, Any]
Layer = tuple[str, Values]

DEFAULT_PRESET = "tiny"
SECTIONS = frozenset(key for key, field in SwarmConfig.model_fields.items() if is_section(field.annotation))
_KEY = re.compile(r"[A-Za-z_][\w-]*(?:\.[\w-]+)*")


def presets() -> tuple[str, ...]:
    """The names of the presets, sorted."""
    folder = resources.files("swarm_ray.config.presets")
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def load_config(
    preset: str | None = None, file: Path | str | None = None, overrides: Overrides = ()
) -> SwarmConfig:
    """The defaults, with the preset, the file and the overrides laid over them.

    Args:
        preset: One of `presets()`; None takes the one that the file or an override names, else `tiny`.
        file: A YAML file with any of the keys.
        overrides: Highest priority; values are read as YAML.

    Raises:
        ConfigError: A key is unknown, a value or combination impossible, a file unreadable, or a secret is
            in it.
    """
    asked = read_overrides(overrides)
    said = read_mapping(Path(file)) if file is not None else {}
    refuse_secrets(asked)
    refuse_secrets(said, str(file))
    name = _chosen_preset(preset, str(file), said, asked)
    path, label = resources.files("swarm_ray.config.presets") / f"{name}.yaml", f"preset {name}"
    below = (label, parse_mapping(path.read_bytes(), label))
    return _validated([below, (str(file), said), ("", asked), ("", {"preset": name})])


def parse_stored(data: bytes, name: str = "config.yaml") -> SwarmConfig:
    """A configuration as it lies in an experiment's folder, which may be a stranger's.

    Args:
        data: What the file holds.
        name: Its name, for errors.

    Raises:
        ConfigError: It is too large, malformed, or no configuration of this version; the file is named.
    """
    values = parse_mapping(data, name)
    try:
        refuse_secrets(values)
        return _validated([("", values)])
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def read_overrides(*layers: Overrides) -> Values:
    """Overrides as values by section and key; those of later layers lie over those of earlier ones.

    Args:
        layers: Each a list of `key=value`, or a mapping; what this function answered is one too.

    Raises:
        ConfigError: One is not `key=value`, or its value is malformed.
    """
    values: Values = {}
    for layer in layers:
        items = [layer] if isinstance(layer, str) else layer
        for key, value in items.items() if isinstance(items, Mapping) else map(_split, items):
            values = laid_over(values, nested({key: value}))
    return values


def value_of(overrides: Values, key: str, default: object = None) -> Any:
    """What overrides, as `read_overrides` answers them, say of a dotted key."""
    section, _, name = key.rpartition(".")
    values = overrides.get(section) if section else overrides
    return values.get(name, default) if isinstance(values, Mapping) else default


def named_modules(overrides: Overrides) -> tuple[str, ...]:
    """Modules with tasks that the overrides themselves name: what a stranger's folder names is not imported by that.

    Raises:
        ConfigError: An override is not `key=value`.
    """
    named = value_of(read_overrides(overrides), "tasks.modules")
    return tuple(map(str, named)) if isinstance(named, (list, tuple)) else ()


def join_config(stored: SwarmConfig, overrides: Overrides = ()) -> SwarmConfig:
    """The configuration of a worker that joins an experiment.

    Args:
        stored: The experiment's.
        overrides: May change what each worker has its own of (`swarm_ray.config.diff.LOCAL_FIELDS`).

    Raises:
        ConfigError: An override would change what holds for the whole swarm, or is wrong in itself.
    """
    joined = _changed(stored, overrides, joins=True)
    changed = differences(joined, stored)
    if joined.preset != stored.preset:
        changed.append(f"preset: {shown(joined.preset)} here, {shown(stored.preset)} there")
    _refuse(
        changed,
        "the experiment's value holds for all its nodes; leave the override out, or make another experiment",
    )
    return joined


def extend_config(stored: SwarmConfig, overrides: Overrides = ()) -> SwarmConfig:
    """The configuration with which an experiment continues.

    Args:
        stored: The one in force.
        overrides: May change local fields and `swarm_ray.config.diff.CHANGEABLE_FIELDS`.

    Raises:
        ConfigError: An override would change what is fixed for the experiment's life, or is wrong in itself.
    """
    extended = _changed(stored, overrides)
    require_same_experiment(extended, stored)
    return extended


def require_same_experiment(config: SwarmConfig, stored: SwarmConfig) -> None:
    """Make sure that a configuration differs from the stored one only in what may change.

    Raises:
        ConfigError: It differs in more; the first difference is named.
    """
    _refuse(
        differences(config, stored, fixed_only=True),
        "fixed since the experiment was made; leave it out to continue, take another --experiment name, or give "
        "--overwrite to start anew",
    )


def take_changes(mine: SwarmConfig, in_force: SwarmConfig) -> SwarmConfig:
    """The configuration in force, with what this worker has its own of.

    Raises:
        ConfigError: It differs in what is fixed for the experiment's life.
    """
    require_same_experiment(in_force, mine)
    return _validated([("", to_json(in_force)), ("", local_json(mine))], joins=True)


def _chosen_preset(preset: str | None, file: str, said: Values, asked: Values) -> str:
    """The preset that the caller, an override or the file names; two that differ are a mistake."""
    named = [
        ("the preset argument", preset),
        ("an override", asked.get("preset")),
        (file, said.get("preset")),
    ]
    found = [(where, name) for where, name in named if name is not None]
    where, name = found[0] if found else ("", DEFAULT_PRESET)
    if name not in presets():
        near = difflib.get_close_matches(str(name), presets(), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"preset: none is called {shown(name)}; {hint}there are {', '.join(presets())}")
    for other_where, other in found[1:]:
        if other != name:
            raise ConfigError(
                f"preset: {where} names {name} and {other_where} {shown(other)}; leave one of them out"
            )
    return str(name)


def _changed(stored: SwarmConfig, overrides: Overrides, *, joins: bool = False) -> SwarmConfig:
    """An experiment's configuration with overrides on it."""
    asked = read_overrides(overrides)
    refuse_secrets(asked)
    return _validated([("", to_json(stored)), ("", asked)], joins=joins)


def _refuse(changed: Sequence[str], why: str) -> None:
    """Raise a `ConfigError` for the first of the differences, if there are any."""
    if changed:
        more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        raise ConfigError(without_secrets(f"{changed[0]}{more}: {why}"))


def _split(item: str) -> tuple[str, object]:
    """The key and the value of one `key=value`."""
    key, equals, text = item.partition("=")
    key = key.strip()
    if not equals or not _KEY.fullmatch(key):
        raise ConfigError(
            without_secrets(
                f"invalid override {shown(item)}; expected key=value, such as grpo.learning_rate=1e-4"
            )
        )
    return key, parse_scalar(text, f"override {key}")


def _validated(layers: Sequence[Layer], *, joins: bool = False) -> SwarmConfig:
    """The layers over each other as a configuration; see `swarm_ray.config.errors.one_line` for the errors."""
    merged: Values = {}
    for _, values in layers:
        # A section with nothing but comments below it is null in YAML, and says nothing.
        said = {key: value for key, value in values.items() if value is not None or key not in SECTIONS}
        merged = laid_over(merged, said)
    try:
        return SwarmConfig.model_validate(merged, context={"joins": joins})
    except ValidationError as error:
        raise one_line(error, layers) from None
