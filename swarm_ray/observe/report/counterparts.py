"""Experiments put together by their settings, and what one is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swarm_ray.config.diff import canonical_json
from swarm_ray.observe.report.evidence import Evidence
from swarm_ray.observe.reward_ratio import RewardSum, ratio_to


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
