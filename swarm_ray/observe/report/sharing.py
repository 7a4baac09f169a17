"""Whether sharing paid: experiments, grouped by their settings, against those without external rollouts."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from swarm_ray.config.diff import LOCAL_FIELDS, canonical_json, to_json
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.experiments.folder import sizes_of
from swarm_ray.formatting import reward_sum
from swarm_ray.observe.reference_results import RewardSum, ratio_to, seed_results_text
from swarm_ray.observe.report.evidence import Evidence
from swarm_ray.observe.report.findings import Finding
from swarm_ray.observe.statistics import LEVEL, Difference, adjusted_p, difference, interval, smallest_p

LONGEST = 120
Runs = Sequence[Evidence]
"""Runs that differ in their seeds alone."""
NONE = "\N{EM DASH}"


def differing_settings(configs: Sequence[SwarmConfig]) -> list[tuple[str, list[str]]]:
    """Key and values for each swarm-wide key, and the preset, in which not all configurations agree."""
    flat = [_flat("", to_json(config)) for config in configs]
    found = {key: [one.get(key, NONE) for one in flat] for one in flat for key in one}
    shared = {key for key in found if key not in LOCAL_FIELDS or key in {"preset", "nodes"}}
    return [(key, values) for key, values in found.items() if key in shared and len(set(values)) > 1]


def _flat(key: str, value: Any) -> dict[str, str]:
    """Dotted keys to values as text; lists of named things are taken by their names."""
    if isinstance(value, dict):
        below = [_flat(f"{key}.{name}" if key else name, inner) for name, inner in value.items()]
        return {dotted: text for part in below for dotted, text in part.items()}
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        named = {key: f"{len(value)} ({', '.join(str(item['name']) for item in value)})"[:LONGEST]}
        for item in value:
            named |= _flat(f"{key}[{item['name']}]", {k: v for k, v in item.items() if k != "name"})
        return named
    text = value if isinstance(value, str) else json.dumps(value)
    return {key: text if len(text) <= LONGEST else f"{text[:LONGEST]}\N{HORIZONTAL ELLIPSIS}"}


def settings_of(evidences: Sequence[Evidence]) -> list[Runs]:
    """Experiments put together whose settings are the same but for the seed, in the order of the first of each."""
    groups: dict[bytes, list[Evidence]] = {}
    for one in evidences:
        groups.setdefault(canonical_json(one.config.model_copy(update={"seed": 0})), []).append(one)
    return list(groups.values())


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

    setting: Runs
    without: Runs
    rounds: int
    shared: list[float]
    """Cumulative reward of each run."""
    alone: list[float]
    test: Difference | None
    """None where there is one run only on a side."""


def sharing_of(evidences: Sequence[Evidence]) -> list[Finding]:
    """What can be said of sharing: a finding for each setting with external rollouts, or why it cannot be answered."""
    settings = settings_of(evidences)
    without = next((runs for runs in settings if runs[0].config.external == 0), None)
    shared = [runs for runs in settings if runs[0].config.external]
    if not shared:
        said = "Nothing was shared here: no experiment named has external rollouts."
        return [_unanswered(_names(settings[0]), said)]
    if without is None:
        said = "That cannot be said: no experiment named was run without external rollouts."
        how = "Name one beside it; swarm-ray simulate --baseline runs it side by side."
        return [_unanswered(", ".join(map(_names, shared)), said, how)]
    found = [_match(runs, without) for runs in shared]
    matches = {number: one for number, one in enumerate(found) if isinstance(one, _Match)}
    adjusted = adjusted_p({number: one.test for number, one in matches.items()})
    first = next((number for number, one in matches.items() if one.test is None), None)
    return [
        one
        if isinstance(one, Finding)
        else _finding(one, adjusted.get(number, 1.0), len(adjusted), first=number == first)
        for number, one in enumerate(found)
    ]


def _unanswered(about: str, said: str, *because: str) -> Finding:
    return Finding(_QUESTION, about, "open", said, because)


def _match(setting: Runs, without: Runs) -> _Match | Finding:
    """A setting with its counterpart, of both the runs that have closed a round, or why they cannot be compared."""
    begun, others = ([run for run in runs if run.rounds] for runs in (setting, without))
    if not begun or not others:
        return _unanswered(_names(setting), "That cannot be said yet: no round has closed on one side.")
    if len({len(run.nodes) for run in (*begun, *others)}) > 1:
        said = "That cannot be said: they had different numbers of nodes, and sums over nodes do not compare."
        return _unanswered(_about(begun, others), said)
    rounds = rounds_in_common((*begun, *others))
    shared, alone = ([run.cumulative(rounds) for run in part] for part in (begun, others))
    test = difference(alone, shared) if min(len(shared), len(alone)) > 1 else None
    return _Match(begun, others, rounds, shared, alone, test)


def _names(runs: Runs) -> str:
    return ", ".join(run.name for run in runs)


def _about(setting: Runs, without: Runs) -> str:
    return f"{_names(setting)} ({setting[0].split}) against {_names(without)} ({without[0].split})"


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
    parts = (match.setting, match.without)
    if max(len(run.rounds) for part in parts for run in part) > match.rounds:
        because.append(f"Only the first {match.rounds} rounds are compared, which all of them closed.")
    if any(len({run.config.seed for run in part}) < len(part) for part in parts):
        because.append("Some runs have the same seed, and are less than independent of each other.")
    because += _other_differences(match.setting[0].config, match.without[0].config)
    return Finding(_QUESTION, _about(*parts), answer, said, tuple(because))


def _of_several(match: _Match, found: Difference, adjusted: float, tests: int) -> tuple[str, str, list[str]]:
    """A run is the unit: nodes of one swarm learn from each other, and rounds from the rounds before."""
    sizes = len(match.shared), len(match.alone)
    apart = (found.low or 0.0) > 0 or (found.high or 0.0) < 0
    certain = min(sizes) >= ENOUGH_RUNS and adjusted <= LEVEL and apart
    answer = ("yes" if found.mean > 0 else "no") if certain else "open"
    verdict = {"yes": "Yes", "no": "No", "open": "Not certain"}[answer]
    times = "" if found.ratio is None else f", {found.ratio:.2f} times as much"
    several = f", {adjusted:.3f} after Holm's adjustment for {tests} settings" if tests > 1 else ""
    said = (
        f"{verdict}: over {sizes[0]} and {sizes[1]} runs the mean cumulative reward is {_sums(match.shared)}, and "
        f"{_sums(match.alone)} without sharing{times}."
    )
    test = (
        f"Difference of the means {found.mean:+.1f}, 95% bootstrap interval {found.low:+.1f} to {found.high:+.1f}; "
        f"Mann-Whitney U {found.u:g}, p = {found.p:.3f}{several}. The unit is a run, one value for each seed."
    )
    return answer, said, [test, *_too_few(sizes, tests)]


def _too_few(sizes: tuple[int, int], tests: int) -> list[str]:
    """Why no difference of so few runs can be certain, however large it is."""
    few = f"With fewer than {ENOUGH_RUNS} runs of each kind no test can be certain, and the interval is too narrow."
    many = (
        f"{tests} settings against {sizes[1]} runs: of so few seeds no difference can be certain after the adjustment, "
        "however large it is."
    )
    if min(sizes) < ENOUGH_RUNS:
        return [few]
    return [many] if tests * smallest_p(*sizes) > LEVEL else []


def _of_single(match: _Match, *, first: bool) -> tuple[str, str, list[str]]:
    """Without runs to compare an interval is impossible: what happened, and how the nodes differ."""
    one, other = match.setting[0], match.without[0]
    shared, alone = (
        RewardSum(math.fsum(sums) / len(sums), len(one.nodes), match.rounds)
        for sums in (match.shared, match.alone)
    )
    several = len(match.shared) + len(match.alone) > 2
    ratio, did = ratio_to(shared, alone), shared.cumulative_reward > alone.cumulative_reward
    times = "beside" if ratio is None else f"{ratio:.2f} times as much as"
    said = (
        f"{'In these runs' if several else 'In this run'} {'it did' if did else 'it did not'}: "
        f"a {'mean ' if several else ''}cumulative reward of {reward_sum(shared.cumulative_reward)}, {times} "
        f"the {reward_sum(alone.cumulative_reward)} without sharing."
    )
    because = [_CAUTION if first else _CAUTION_AGAIN, *_node_lines(one, other, match.rounds)]
    config = one.config
    known = seed_results_text(config.preset, config.policy, config.nodes, sizes_of(config))
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


def _other_differences(setting: SwarmConfig, without: SwarmConfig) -> list[str]:
    keys = [key for key, _ in differing_settings([setting, without])]
    rest = [key for key in keys if key not in {"local", "external", "seed", "preset", "nodes"}]
    lines = []
    if setting.local + setting.external != without.local + without.external:
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
