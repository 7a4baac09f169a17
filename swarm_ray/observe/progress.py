"""What a display shows of a running swarm: plain data, gathered from the actors."""

from __future__ import annotations

from dataclasses import dataclass, field

from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.state import StateRecord


@dataclass(frozen=True)
class SwarmProgress:
    """One swarm at one moment, as this machine sees it."""

    experiment: str
    label: str
    """`4 local / 4 external`, say."""
    state: str
    """starting, waiting, running, paused, draining, finished, stopped, failed or superseded."""
    rounds: int
    rewards: tuple[float, ...] = ()
    """Mean own reward per closed round."""
    closed: int = 0
    """Rounds of the experiment that are over; `rewards` may lack the oldest."""
    nodes: tuple[str, ...] = ()
    used: int = 0
    """External rollouts used so far by this machine's nodes."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Per phase, summed over this machine's nodes and rounds."""
    problems: dict[str, str] = field(default_factory=dict)
    note: str = ""
    unreachable: str = ""
    """Why the shared folder is out of reach; empty while it is not."""
    local: int | None = None
    """Own rollouts of a node per step."""
    records: tuple[StateRecord, ...] = ()
    """The newest state records that were met, oldest first, where the coordinator is here."""
    rows: tuple[StepMetrics, ...] = ()
    """The newest rows of this machine's nodes that were met, oldest first."""
    open_s: float | None = None
    """Seconds since the open round began; None where another machine coordinates."""

    @property
    def cumulative(self) -> float:
        """Own reward summed over nodes and closed rounds: the newest record has the sums of the whole run."""
        if self.records:
            return sum(tally.totals.reward for tally in self.records[-1].tallies.values())
        return sum(self.rewards) * max(1, len(self.nodes))

    def recent(self, window: int = 10) -> float | None:
        """Mean own reward over the last `window` closed rounds."""
        last = self.rewards[-window:]
        return sum(last) / len(last) if last else None
