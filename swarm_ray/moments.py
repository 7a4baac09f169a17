"""The swarm's clock: rounds, and the stages within each."""

from __future__ import annotations

from typing import NamedTuple, Self

from swarm_ray.records import StageClosed, StageOpen


class Moment(NamedTuple):
    """A stage of a round; moments are ordered as they come."""

    round: int
    stage: int = 0

    def following(self, stages: int) -> Moment:
        """What comes after it in rounds of so many stages."""
        return Moment(self.round, self.stage + 1) if self.stage + 1 < stages else Moment(self.round + 1)

    @classmethod
    def of(cls, stage: StageOpen | StageClosed) -> Self:
        """When a stage is or was open."""
        return cls(stage.round, stage.stage)


FIRST = Moment(0)
