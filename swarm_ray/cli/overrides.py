"""From flags and `key=value` to the overrides of a configuration."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from swarm_ray.errors import UserError

FLAG_KEYS = {
    "nodes": "nodes",
    "rounds": "rounds",
    "local": "local",
    "external": "external",
    "completions": "completions",
    "trainers": "trainers",
    "seed": "seed",
    "model": "policy.model",
    "expect": "pace.expect",
}
"""Which configuration key each flag sets."""
_TEXT_FLAGS = ("model",)


def overrides_of(arguments: argparse.Namespace, flag_keys: Mapping[str, str] = FLAG_KEYS) -> list[str]:
    """The `key=value` of the command line, and the flags that were given, in the same form.

    Args:
        arguments: of a command with overrides.
        flag_keys: flag to configuration key, for the flags that count.

    Raises:
        UserError: a flag and a `key=value` say different things of one key.
    """
    overrides: list[str] = list(arguments.overrides)
    for flag, key in flag_keys.items():
        value = getattr(arguments, flag, None)
        if value is None:
            continue
        text = json.dumps(value) if flag in _TEXT_FLAGS else str(value)
        said = value_of(overrides, key)
        if said is not None and _parsed(said) != _parsed(text):
            raise UserError(f"--{flag} {value} and {key}={said} differ; leave one of them out")
        if said is None:
            overrides.append(f"{key}={_from_anywhere(text) if flag == 'model' else text}")
    return overrides


def value_of(overrides: Sequence[str], key: str) -> str | None:
    """What the last `key=value` of a key says, as it was written; None where none does."""
    pairs = [item.partition("=") for item in overrides]
    return next((text for name, _, text in reversed(pairs) if name.strip() == key), None)


def see_modules_here() -> None:
    """Let `tasks.modules` name files of the folder in which the command is given, after all that is installed."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def _from_anywhere(text: str) -> str:
    """A folder's name, as JSON, such that it is found whatever the working directory is; other names as they are."""
    try:
        folder = Path(json.loads(text)).expanduser()
        return json.dumps(str(folder.absolute())) if folder.is_dir() else text
    except (OSError, RuntimeError):  # what no path can be, and the home of nobody, are names
        return text


def _parsed(text: str) -> object:
    """A value as YAML has it; text that is no YAML is only equal to itself, and refused later."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text
