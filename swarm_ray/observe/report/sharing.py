"""Whether sharing paid: experiments, grouped by their settings, against those without external rollouts."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from swarm_ray.config.diff import LOCAL_FIELDS, canonical_json, to_json
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.formatting import reward_sum
from swarm_ray.observe.reference_results import RewardSum, ratio_to, seed_results_text
from swarm_ray.observe.report.evidence import Evidence
from swarm_ray.observe.report.findings import Finding
from swarm_ray.observe.statistics import LEVEL, Difference, adjusted_p, difference, interval, smallest_p

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


ENOUGH_RUNS = 4
"""Runs of either kind below which even a complete separation is not evidence (p = 0.1 of 3 against 3)."""
FEW_NODES = 10
"""Below so many values a bootstrap interval is too narrow, as a rule."""
_QUESTION = "Did sharing pay?"
_CAUTION = (
    "One run is one draw. How another seed would end cannot be told from it, and no interval is given: nodes of a "
    "swarm learn from each other, and a round from the rounds before. Several seeds of each can tell."
)
_CAUTION_AGAIN = "Here too a single run is one draw, and no interval is given."


@dataclass(frozen=True)
class _Match:
    """A setting beside the one without sharing, over the rounds that all their runs have closed."""

    setting: Setting
    without: Setting
    rounds: int
    shared: list[float]
    """Cumulative reward of each run."""
    alone: list[float]
    test: Difference | None
    """None where there is one run only on a side."""


def sharing_of(evidences: Sequence[Evidence]) -> list[Finding]:
    """What can be said of sharing: a finding for each setting with external rollouts, or why it cannot be answered."""
    settings = settings_of(evidences)
    without = next((setting for setting in settings if setting.external == 0), None)
    shared = [setting for setting in settings if setting.external]
    if not shared:
        said = "Nothing was shared here: no experiment named has external rollouts."
        return [Finding(_QUESTION, settings[0].names, "open", said, ())]
    if without is None:
        said = "That cannot be said: no experiment named was run without external rollouts."
        how = "Name one beside it; swarm-ray simulate --baseline runs it side by side."
        return [Finding(_QUESTION, ", ".join(s.names for s in shared), "open", said, (how,))]
    found = [_match(setting, without) for setting in shared]
    matches = {number: one for number, one in enumerate(found) if isinstance(one, _Match)}
    adjusted = adjusted_p({number: one.test for number, one in matches.items()})
    first = next((number for number, one in matches.items() if one.test is None), None)
    return [
        one
        if isinstance(one, Finding)
        else _finding(one, adjusted.get(number, 1.0), len(adjusted), first=number == first)
        for number, one in enumerate(found)
    ]


def _match(setting: Setting, without: Setting) -> _Match | Finding:
    """A setting with its counterpart, or why they cannot be compared."""
    begun, others = setting.begun(), without.begun()
    if not begun.runs or not others.runs:
        said = "That cannot be said yet: no round has closed on one side."
        return Finding(_QUESTION, setting.names, "open", said, ())
    runs = (*begun.runs, *others.runs)
    if len({len(run.nodes) for run in runs}) > 1:
        said = "That cannot be said: they had different numbers of nodes, and sums over nodes do not compare."
        return Finding(_QUESTION, _about(begun, others), "open", said, ())
    rounds = rounds_in_common(runs)
    shared, alone = ([run.cumulative(rounds) for run in part] for part in (begun.runs, others.runs))
    test = difference(alone, shared) if min(len(shared), len(alone)) > 1 else None
    return _Match(begun, others, rounds, shared, alone, test)


def _about(setting: Setting, without: Setting) -> str:
    return f"{setting.names} ({setting.split}) against {without.names} ({without.split})"


def _finding(match: _Match, adjusted: float, tests: int, *, first: bool) -> Finding:
    """What is said of a setting.

    Args:
        match: the setting and its counterpart.
        adjusted: p of its test, after Holm.
        tests: how many settings are tested against the same runs.
        first: whether it is the first of which there is a single draw.
    """
    answer, said, because = (
        _of_single(match, first=first)
        if match.test is None
        else _of_several(match, match.test, adjusted, tests)
    )
    parts = (match.setting.runs, match.without.runs)
    if max(len(run.rounds) for part in parts for run in part) > match.rounds:
        because.append(f"Only the first {match.rounds} rounds are compared, which all of them closed.")
    if any(len({run.config.seed for run in part}) < len(part) for part in parts):
        because.append("Some runs have the same seed, and are less than independent of each other.")
    because += _other_differences(match.setting, match.without)
    return Finding(_QUESTION, _about(match.setting, match.without), answer, said, tuple(because))


def _of_several(match: _Match, found: Difference, adjusted: float, tests: int) -> tuple[str, str, list[str]]:
    """A run is the unit: nodes of one swarm learn from each other, and rounds from the rounds before."""
    if found.low is None or found.high is None:
        return "open", "That cannot be said: a sum is missing.", []
    sizes = len(match.shared), len(match.alone)
    times = "" if found.ratio is None else f", {found.ratio:.2f} times as much"
    certain = min(sizes) >= ENOUGH_RUNS and adjusted <= LEVEL and (found.low > 0 or found.high < 0)
    answer = ("yes" if found.mean > 0 else "no") if certain else "open"
    verdict = {"yes": "Yes", "no": "No", "open": "Not certain"}[answer]
    said = f"{verdict}: over {sizes[0]} and {sizes[1]} runs the mean cumulative reward is {_sums(match.shared)}, and "
    said += f"{_sums(match.alone)} without sharing{times}."
    several = f", {adjusted:.3f} after Holm's adjustment for {tests} settings" if tests > 1 else ""
    test = (
        f"Difference of the means {found.mean:+.1f}, 95% bootstrap interval {found.low:+.1f} to {found.high:+.1f}; "
        f"Mann-Whitney U {found.u:g}, p = {found.p:.3f}{several}. The unit is a run, one value for each seed."
    )
    return answer, said, [test, *_too_few(sizes, tests)]


def _too_few(sizes: tuple[int, int], tests: int) -> list[str]:
    """Why no difference of so few runs can be certain, however large it is."""
    if min(sizes) < ENOUGH_RUNS:
        return [
            f"With fewer than {ENOUGH_RUNS} runs of each kind no test can be certain, and the interval is too narrow."
        ]
    if tests * smallest_p(*sizes) <= LEVEL:
        return []
    why = f"{tests} settings against {sizes[1]} runs: of so few seeds no difference can be certain after the adjustment"
    return [f"{why}, however large it is."]


def _of_single(match: _Match, *, first: bool) -> tuple[str, str, list[str]]:
    """Without runs to compare an interval is impossible: what happened, and how the nodes differ."""
    one, other = match.setting.runs[0], match.without.runs[0]
    shared, alone = (
        RewardSum(math.fsum(sums) / len(sums), len(one.nodes), match.rounds)
        for sums in (match.shared, match.alone)
    )
    several = len(match.shared) + len(match.alone) > 2
    ratio, did = ratio_to(shared, alone), shared.cumulative_reward > alone.cumulative_reward
    times = "beside" if ratio is None else f"{ratio:.2f} times as much as"
    said = f"{'In these runs' if several else 'In this run'} {'it did' if did else 'it did not'}: "
    said += (
        f"a {'mean ' if several else ''}cumulative reward of {reward_sum(shared.cumulative_reward)}, {times} "
    )
    said += f"the {reward_sum(alone.cumulative_reward)} without sharing."
    because = [_CAUTION if first else _CAUTION_AGAIN, *_node_lines(one, other, match.rounds)]
    known = seed_results_text(one.config)
    if "not measured" not in known:
        because.append(f"Measured before: {' '.join(known.split())}.")
    return "partly" if did else "open", said, because  # single draws decide nothing


def _node_lines(shared: Evidence, alone: Evidence, rounds: int) -> list[str]:
    """Nodes that trained apart are independent of each other; those of a swarm are not."""
    theirs, own = (sorted(one.node_sums(rounds).values()) for one in (alone, shared))
    found = interval(theirs)
    if found is None or found.low is None or found.high is None:
        return []
    middle = math.fsum(own) / len(own)
    where = "above" if middle > found.high else "below" if middle < found.low else "inside"
    rough = "; of so few it is rough" if found.count < FEW_NODES else ""
    apart = (
        f"A node without sharing earned {reward_sum(found.mean)} (95% interval {_range(found.low, found.high)} over "
        f"{found.count} nodes that trained apart{rough})."
    )
    together = f"Nodes of {shared.name} earned {_range(own[0], own[-1])}; their mean, {reward_sum(middle)}, is {where}"
    return [apart, f"{together} that interval."]


def _other_differences(setting: Setting, without: Setting) -> list[str]:
    keys = [row[0] for row in differing_settings([setting.runs[0].config, without.runs[0].config])]
    rest = [key for key in keys if key not in {"local", "external", "seed", "preset", "nodes"}]
    budgets = {run.config.local + run.config.external for run in (setting.runs[0], without.runs[0])}
    lines = []
    if len(budgets) > 1:
        lines.append(
            "They learn from different numbers of rollouts per round (I + J), which is more than sharing."
        )
    if rest:
        lines.append(f"They differ in more than I and J: {', '.join(rest[:6])}; so it is not sharing alone.")
    return lines


def _sums(values: Sequence[float]) -> str:
    middle = math.fsum(values) / len(values)
    return f"{reward_sum(middle)} ({_range(min(values), max(values))})"


def _range(low: float, high: float) -> str:
    return f"{reward_sum(low)} to {reward_sum(high)}"
