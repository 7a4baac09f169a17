"""The keys in which configurations differ, with each one's value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from swarm_ray.config.diff import LOCAL_FIELDS, to_json
from swarm_ray.config.schema import SwarmConfig

LONGEST = 120
NONE = "\N{EM DASH}"


def differing_settings(configs: Sequence[SwarmConfig]) -> list[tuple[str, list[str]]]:
    """Key and values for each swarm-wide key, and the preset, in which not all configurations agree."""
    flat = [_flat("", to_json(config)) for config in configs]
    keys = dict.fromkeys(key for one in flat for key in one)
    rows = []
    for key in keys:
        values = [one.get(key, NONE) for one in flat]
        if len(set(values)) > 1 and (key not in LOCAL_FIELDS or key in {"preset", "nodes"}):
            rows.append((key, values))
    return rows


def _flat(key: str, value: Any) -> dict[str, str]:
    """Dotted keys to values as text; lists of named things are taken by their names."""
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for name, below in value.items():
            found |= _flat(f"{key}.{name}" if key else name, below)
        return found
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        named = {key: f"{len(value)} ({', '.join(str(item['name']) for item in value)})"[:LONGEST]}
        for item in value:
            named |= _flat(f"{key}[{item['name']}]", {k: v for k, v in item.items() if k != "name"})
        return named
    text = value if isinstance(value, str) else json.dumps(value)
    return {key: text if len(text) <= LONGEST else f"{text[:LONGEST]}\N{HORIZONTAL ELLIPSIS}"}
