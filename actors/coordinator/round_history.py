"""What the coordinator remembers of the rounds that have closed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from actors.coordinator.closing import mean
from swarm_ray.records.state import Member, Moment, StageClosed, StageOpen, StateRecord

KEPT = 512
"""Of so many rounds it is known who handed something in, and what the mean reward was."""


class RoundHistory:
    """Which stage comes next, the rewards of the rounds before, and whose files they had.

    Args:
        stages: of a round.
    """

    def __init__(self, stages: int = 1) -> None:
        self._stages = stages
        self.next = Moment(0)
        """The stage that opens next, or that is open."""
        self.opened = Moment(-1)
        """The last stage that opened."""
        self.members: tuple[Member, ...] = ()
        """Of the last round that opened: nobody enters in its middle."""
        self.rewards: deque[float] = deque(maxlen=KEPT)
        """Mean own reward over the nodes, of the last rounds that closed."""
        self._submissions: dict[int, list[str]] = {}

    def restore(self, records: Iterable[StateRecord], upcoming: Moment) -> None:
        """Take over what the log says, and the stage to go on with."""
        for record in records:
            if record.closed:
                self.closed(record.closed)
            if record.opens:
                self.opens(record.opens)
        self.next = upcoming

    def opens(self, stage: StageOpen) -> None:
        """Note a stage that opens."""
        self.opened = max(self.opened, Moment.of(stage))
        self.members = stage.members

    def closed(self, stage: StageClosed) -> None:
        """Note a stage that has closed."""
        self.next = Moment.of(stage).following(self._stages)
        if stage.stage == 0:
            self.rewards.append(mean(stage.rewards.values()) if stage.rewards else 0.0)
        self._submissions[stage.round] = sorted({ref.node for ref in stage.accepted})
        for number in sorted(self._submissions)[:-KEPT]:
            del self._submissions[number]

    def adopt(self, record: StateRecord) -> None:
        """Go on above what a record of another coordinator opened or closed."""
        if record.closed:
            self.next = max(self.next, Moment.of(record.closed).following(self._stages))
        if record.opens:
            self.next = max(self.next, Moment.of(record.opens))

    def of(self, number: int) -> list[str]:
        """Nodes whose files of a round were accepted."""
        return list(self._submissions.get(number, []))
