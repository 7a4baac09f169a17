"""Which fields a whole swarm shares, their hash, and how two configurations differ in them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.config.secrets import shown

LOCAL_FIELDS = frozenset(
    {
        "nodes",
        "trainers",
        "resume",
        "exchange",
        "slow_down_s",
        "policy.device",
        "policy.dtype",
        "policy.packing",
        "policy.micro_batch_tokens",
        "policy.generate_batch",
        "checkpoint.every",
        "checkpoint.keep",
        "checkpoint.keep_best",
        "checkpoint.store_every_s",
        "checkpoint.store_bytes",
        "retention.spool_bytes",
        "supervision.restarts",
        "supervision.data_failures",
        "tracking.wandb",
        "tracking.wandb_project",
        "tracking.tensorboard",
        "tracking.prometheus",
        "hub.repository",
        "hub.every",
        "hub.private",
        "direct.listen",
        "direct.port",
        "direct.announce",
        "direct.bootnodes",
        "direct.relay",
        "direct.start_s",
        "direct.value_s",
        "preset",
    }
)
"""What each worker may have its own of: how many nodes it hosts and how its device computes. `preset` is a
label that changes nothing. All other fields hold for the whole swarm."""

CHANGEABLE_FIELDS = (
    "rounds",
    "alarm_rounds",
    "grpo.learning_rate",
    "grpo.max_grad_norm",
    "pace.",
    "evaluation.",
    "retention.",
    "log.",
)
"""Swarm-wide fields, and whole sections, that may be changed while an experiment runs; what defines the experiment
(model, tasks, seeds, I, J, G, advantages) is fixed. A change is a new hash in the state log."""


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as sections: `{"grpo.beta1": 0.9}` as `{"grpo": {"beta1": 0.9}}`; of equal keys the last counts."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        section, dot, inner = str(key).partition(".")
        found = laid_over(found, {section: nested({inner: value}) if dot else value})
    return found


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`: sections key by key, everything else (lists and options too) as a whole."""
    joined = {
        key: {**below[key], **value}
        for key, value in above.items()
        if isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
    }
    return {**below, **above, **joined}


_LOCAL = nested(dict.fromkeys(LOCAL_FIELDS, True))
"""The same fields as pydantic includes and excludes them."""

_HASHED_WHEN_SET = {"stages": 1, "game": ""}
"""Swarm-wide fields that are no part of the hash at their default, so that experiments without them keep theirs."""

_ABSENT = object()


def to_json(config: SwarmConfig) -> dict[str, Any]:
    """The whole configuration in JSON's types, local fields included; `SwarmConfig(**values)` takes it."""
    return config.model_dump(mode="json")


def canonical_json(config: SwarmConfig) -> bytes:
    """The swarm-wide fields as JSON: sorted keys, no blanks, ASCII; the same on every machine."""
    values = {
        key: value
        for key, value in config.model_dump(mode="json", exclude=_LOCAL).items()
        if value not in ({}, _HASHED_WHEN_SET.get(key, {}))  # sections of local fields alone are empty
    }
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def local_json(config: SwarmConfig) -> dict[str, Any]:
    """The local fields in JSON's types, as sections."""
    return config.model_dump(mode="json", include=_LOCAL)


def config_hash(config: SwarmConfig) -> str:
    """First 12 hex digits of the sha256 of `canonical_json`; local fields do not change it."""
    return hashlib.sha256(canonical_json(config)).hexdigest()[:12]


def differences(here: SwarmConfig, there: SwarmConfig, *, fixed_only: bool = False) -> list[str]:
    """The swarm-wide fields in which two configurations differ.

    Args:
        here: One configuration.
        there: The other.
        fixed_only: Leave out `CHANGEABLE_FIELDS`.

    Returns:
        One line each, such as `grpo.learning_rate: 0.001 here, 0.0001 there`, in the order of the fields.
    """
    return [
        f"{key}: {_both(one, other)}"
        for key, one, other in _pairs("", to_json(here), to_json(there))
        if key not in LOCAL_FIELDS and not (fixed_only and is_changeable(key))
    ]


def is_changeable(key: str) -> bool:
    """Whether a swarm-wide field may change while the experiment runs."""
    return any(key == field or (field.endswith(".") and key.startswith(field)) for field in CHANGEABLE_FIELDS)


def _pairs(key: str, one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    """The keys below `key` at which two values differ, and both values there."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys([*one, *other]):
            below = f"{key}.{name}" if key else name
            yield from _pairs(below, one.get(name, _ABSENT), other.get(name, _ABSENT))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (ours, theirs) in enumerate(zip(one, other, strict=True)):
            yield from _pairs(f"{key}[{index}]", ours, theirs)
    elif type(one) is not type(other) or one != other:
        yield key, one, other


def _both(one: Any, other: Any) -> str:
    """Both values as text, from shortly before they part where their beginnings would look the same."""
    ours, theirs = _show(one), _show(other)
    if ours == theirs and isinstance(one, str) and isinstance(other, str):
        parts = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
        start = max(0, (parts or min(len(one), len(other))) - 10)
        ours, theirs = f"…{shown(one[start:])}", f"…{shown(other[start:])}"
    return f"{ours} here, {theirs} there"


def _show(value: Any) -> str:
    """A value as a message has it; specialties by their names."""
    if value is _ABSENT:
        return "nothing"
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        return f"{len(value)} ({', '.join(str(item['name']) for item in value[:9])})"
    return shown(value)
