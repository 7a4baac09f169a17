"""A node: a member of the swarm, as a plain record that holds what a checkpoint holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swarm_ray.records import NodeTotals, StepCounters

if TYPE_CHECKING:
    from swarm_ray.policies.policy import Policy


@dataclass
class Node:
    """Identity, policy with its optimizer, and counters; random streams are derived, so none is kept."""

    id: str
    incarnation: str
    policy: Policy
    step: int = 0
    """Count of rounds the node has taken part in; never decreases."""
    totals: NodeTotals = field(default_factory=NodeTotals)
    previous: StepCounters | None = None
    """Counters of the last step, published with the next file."""
    vote: str | None = None
    """The peer whose completions scored highest in the last round."""
    problem: str | None = None
    """Why the node was given up, in words; None while it is well."""
