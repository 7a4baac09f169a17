"""A node: a member of the swarm, as a plain record that holds what a checkpoint holds."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swarm_ray.records.nodes import NodeTotals
from swarm_ray.records.rollouts import StepCounters
from swarm_ray.tasks.streams import derive_seed

if TYPE_CHECKING:
    from swarm_ray.policies.policy import Policy


@dataclass
class Node:
    """Identity, policy with its optimizer, and counters; random streams are derived, so none is kept."""

    id: str
    incarnation: str
    policy: Policy
    step: int = 0
    """Count of updates, those that a lost machine took with it included; never decreases."""
    round: int = -1
    """The last round that the node has finished; -1 before its first."""
    totals: NodeTotals = field(default_factory=NodeTotals)
    previous: StepCounters | None = None
    """Counters of the last step, published with the next file."""
    vote: str | None = None
    """The peer whose completions scored highest in the last round."""
    skipped: str = ""
    """Why the node sits out the rest of this round; empty while it takes part."""
    failures: int = 0
    """Rounds in a row, up to the last, in which the node's data failed."""
    problem: str | None = None
    """Why the node was given up, in words; None while it is healthy."""

    @property
    def active(self) -> bool:
        """Whether it takes part in what comes next of the round."""
        return self.problem is None and not self.skipped

    def derive_seed(self, root: int, purpose: str) -> int:
        """The seed of its random stream for a purpose of its present step."""
        return derive_seed(root, self.id, self.step, purpose)

    def stream(self, root: int, purpose: str) -> random.Random:
        """Its random stream for a purpose of its present step."""
        return random.Random(self.derive_seed(root, purpose))
