"""What the coordinator remembers of the rounds that have closed."""

from __future__ import annotations

from collections.abc import Iterable

from actors.closing import mean
from swarm_ray.records import StageClosed, StateRecord

KEPT = 512
"""Of so many rounds it is known who handed something in."""


class RoundHistory:
    """Which round comes next, the rewards of those before, and whose files they had."""

    def __init__(self) -> None:
        self.next = 0
        """The round that opens next, or that is open."""
        self.opened = -1
        """The last round that opened."""
        self.rewards: list[float] = []
        """Mean own reward over the nodes, of every closed round that is known."""
        self._submissions: dict[int, list[str]] = {}

    def restore(self, records: Iterable[StateRecord], upcoming: int) -> None:
        """Take over what the log says, and the number of the round to go on with."""
        for record in records:
            if record.closed:
                self.closed(record.closed)
            if record.opens:
                self.opened = max(self.opened, record.opens.round)
        self.next = upcoming

    def closed(self, stage: StageClosed) -> None:
        """Note a stage that has closed."""
        self.next = stage.round + 1
        self.rewards.append(mean(stage.rewards.values()) if stage.rewards else 0.0)
        self._submissions[stage.round] = sorted(stage.rewards)
        for number in sorted(self._submissions)[:-KEPT]:
            del self._submissions[number]

    def adopt(self, record: StateRecord) -> None:
        """Go on above what a record of another coordinator opened or closed."""
        if record.closed:
            self.next = max(self.next, record.closed.round + 1)
        if record.opens:
            self.next = max(self.next, record.opens.round)

    def of(self, number: int) -> list[str]:
        """Nodes whose files of a round were accepted."""
        return list(self._submissions.get(number, []))
