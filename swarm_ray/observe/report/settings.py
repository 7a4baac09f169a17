"""Experiments grouped by their settings, and the keys in which configurations differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from swarm_ray.config.diff import LOCAL_FIELDS, canonical_json, to_json
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.observe.reference_results import RewardSum, ratio_to
from swarm_ray.observe.report.evidence import Evidence

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


@dataclass(frozen=True)
class Setting:
    """Runs that differ in their seeds alone."""

    runs: tuple[Evidence, ...]

    @property
    def external(self) -> int:
        """J."""
        return self.runs[0].config.external

    @property
    def split(self) -> str:
        """I/J."""
        return self.runs[0].split

    @property
    def names(self) -> str:
        """Of its runs."""
        return ", ".join(run.name for run in self.runs)

    def begun(self) -> Setting:
        """Those of its runs that have closed a round."""
        return Setting(tuple(run for run in self.runs if run.rounds))


def settings_of(evidences: Sequence[Evidence]) -> list[Setting]:
    """Experiments put together whose settings are the same but for the seed, in the order of the first of each."""
    groups: dict[bytes, list[Evidence]] = {}
    for one in evidences:
        groups.setdefault(canonical_json(one.config.model_copy(update={"seed": 0})), []).append(one)
    return [Setting(tuple(runs)) for runs in groups.values()]


def baseline_of(evidences: Sequence[Evidence]) -> Evidence:
    """The first experiment without external rollouts, or the first of all."""
    return next((one for one in evidences if one.config.external == 0), evidences[0])


def rounds_in_common(runs: Sequence[Evidence]) -> int:
    """Rounds that all of them have closed."""
    return min((len(run.rounds) for run in runs), default=0)


def ratio_of(one: Evidence, baseline: Evidence) -> float | None:
    """`ratio_to` of what both earned in the rounds that both closed: here it is known round by round."""
    rounds = rounds_in_common((one, baseline))
    return ratio_to(*(RewardSum(run.cumulative(rounds), len(run.nodes), rounds) for run in (one, baseline)))
