"""Whether sharing paid: experiments against the one without external rollouts, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from swarm_ray.config_compare import canonical_json
from swarm_ray.known_spread import spread_text
from swarm_ray.report.evidence import Evidence
from swarm_ray.report.findings import Finding
from swarm_ray.report.setting_table import differing_settings
from swarm_ray.statistics import difference, interval
from swarm_ray.table_text import reward_sum

ENOUGH_RUNS = 4
"""Runs of either kind below which even a complete separation is no evidence (p = 0.1 of 3 against 3)."""
CERTAIN = 0.05
FEW_NODES = 10
"""Below so many values a bootstrap interval is too narrow, as a rule."""
_QUESTION = "Did sharing pay?"
_CAUTION = (
    "One run is one draw. How another seed would end cannot be told from it, and no interval is given: nodes of a "
    "swarm learn from each other, and a round from the rounds before. Several seeds of each can tell."
)
_CAUTION_AGAIN = "Here too a single run is one draw, and no interval is given."


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


def settings_of(evidences: Sequence[Evidence]) -> list[Setting]:
    """Experiments put together whose settings are the same but for the seed, in the order of the first of each."""
    groups: dict[bytes, list[Evidence]] = {}
    for one in evidences:
        groups.setdefault(canonical_json(one.config.model_copy(update={"seed": 0})), []).append(one)
    return [Setting(tuple(runs)) for runs in groups.values()]


def baseline_of(evidences: Sequence[Evidence]) -> Evidence:
    """The first experiment without external rollouts, or the first of all."""
    return next((one for one in evidences if one.config.external == 0), evidences[0])


def sharing_of(evidences: Sequence[Evidence]) -> list[Finding]:
    """What can be said of sharing: a finding for each setting with external rollouts, or why there is none."""
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
    begun = _begun(without)
    return [_finding(_begun(setting), begun, setting, first=setting is shared[0]) for setting in shared]


def rounds_in_common(runs: Sequence[Evidence]) -> int:
    """Rounds that all of them have closed."""
    return min((len(run.rounds) for run in runs), default=0)


def ratio_of(one: Evidence, baseline: Evidence) -> float | None:
    """Cumulative reward over the baseline's, over the rounds that both closed.

    None unless both had as many nodes and the baseline earned something.
    """
    rounds = rounds_in_common((one, baseline))
    if len(one.nodes) != len(baseline.nodes) or not rounds:
        return None
    earned = baseline.cumulative(rounds)
    return one.cumulative(rounds) / earned if earned > 0 else None


def _begun(setting: Setting) -> Setting:
    """Those of its runs that have closed a round."""
    return Setting(tuple(run for run in setting.runs if run.rounds))


def _finding(setting: Setting, without: Setting, named: Setting, *, first: bool) -> Finding:
    if not setting.runs or not without.runs:
        said = "That cannot be said yet: no round has closed on one side."
        return Finding(_QUESTION, named.names, "open", said, ())
    runs = (*setting.runs, *without.runs)
    about = f"{setting.names} ({setting.split}) against {without.names} ({without.split})"
    rounds = rounds_in_common(runs)
    counts = {len(run.nodes) for run in runs}
    if rounds == 0:
        said = "That cannot be said yet: not all of them have closed a round."
        return Finding(_QUESTION, about, "open", said, ())
    if len(counts) > 1:
        said = "That cannot be said: they had different numbers of nodes, and sums over nodes do not compare."
        return Finding(_QUESTION, about, "open", said, ())
    sums = [[run.cumulative(rounds) for run in part] for part in (without.runs, setting.runs)]
    answer, said, because = (
        _of_several(sums[1], sums[0])
        if min(map(len, sums)) > 1
        else _of_single(setting, without, sums, rounds, first=first)
    )
    longest = max(len(run.rounds) for run in runs)
    if longest > rounds:
        because.append(f"Only the first {rounds} rounds are compared, which all of them closed.")
    if any(len({run.config.seed for run in part}) < len(part) for part in (setting.runs, without.runs)):
        because.append("Some runs have the same seed, and are less than independent of each other.")
    return Finding(_QUESTION, about, answer, said, (*because, *_other_differences(setting, without)))


def _of_several(shared: list[float], alone: list[float]) -> tuple[str, str, list[str]]:
    """A run is the unit: nodes of one swarm learn from each other, and rounds from the rounds before."""
    found = difference(alone, shared)
    if found is None or found.low is None or found.high is None:
        return "open", "That cannot be said: a sum is missing.", []
    times = "" if found.ratio is None else f", {found.ratio:.2f} times as much"
    enough = min(len(shared), len(alone)) >= ENOUGH_RUNS
    certain = enough and found.p < CERTAIN and (found.low > 0 or found.high < 0)
    answer = ("yes" if found.mean > 0 else "no") if certain else "open"
    verdict = {"yes": "Yes", "no": "No", "open": "Not certain"}[answer]
    said = f"{verdict}: over {len(shared)} and {len(alone)} runs the mean cumulative reward is {_sums(shared)}, and "
    said += f"{_sums(alone)} without sharing{times}."
    test = (
        f"Difference of the means {found.mean:+.1f}, 95% bootstrap interval {found.low:+.1f} to {found.high:+.1f}; "
        f"Mann-Whitney U {found.u:g}, p = {found.p:.3f}. The unit is a run, one value for each seed."
    )
    because = [test]
    if not enough:
        because.append(
            f"With fewer than {ENOUGH_RUNS} runs of each kind no test can be certain, and the interval is too narrow."
        )
    return answer, said, because


def _of_single(
    setting: Setting, without: Setting, sums: list[list[float]], rounds: int, *, first: bool
) -> tuple[str, str, list[str]]:
    """Without runs to compare there is no interval: what happened is told, and how the nodes differ."""
    shared, alone = math.fsum(sums[1]) / len(sums[1]), math.fsum(sums[0]) / len(sums[0])
    several = len(sums[0]) + len(sums[1]) > 2
    times = f"{shared / alone:.2f} times as much as" if alone > 0 else "beside"
    said = f"{'In these runs' if several else 'In this run'} {'it did' if shared > alone else 'it did not'}: "
    said += f"a {'mean ' if several else ''}cumulative reward of {reward_sum(shared)}, {times} "
    said += f"the {reward_sum(alone)} without sharing."
    because = [_CAUTION if first else _CAUTION_AGAIN, *_node_lines(setting.runs[0], without.runs[0], rounds)]
    known = spread_text(setting.runs[0].config)
    if "not measured" not in known:
        because.append(f"Measured before: {' '.join(known.split())}.")
    return "partly" if shared > alone else "open", said, because  # single draws decide nothing


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
