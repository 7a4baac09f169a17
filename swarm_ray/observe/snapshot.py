"""What a live view shows: plain data, wherever it comes from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from swarm_ray.records.state import ENDED

OVER = (*ENDED, "superseded")
"""States in which nothing more is to come."""
MOST_NODES = 12
"""So many nodes have a row of their own."""
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class NodeLine:
    """One node at one moment; None is what is not known."""

    node: str
    round: int = -1
    """The last round that it took part in; -1 before its first."""
    step: int = 0
    reward: float | None = None
    """Mean own reward in the newest round that closed."""
    mean_reward: float | None = None
    """The same over the newest rounds that closed, ten at most."""
    external: float | None = None
    """Share of external rollouts in all that it learned from so far."""
    step_s: float | None = None
    """Seconds that a step takes, over the newest rounds."""
    tokens_per_s: float | None = None
    """Generated tokens per second, over the newest rounds."""
    seen_s: float | None = None
    """Seconds since it gave a sign of life."""
    by_clocks: bool = False
    """Whether that was told by wall clocks, since this machine has not seen it change yet."""
    problems: tuple[str, ...] = ()
    """What is wrong with it, in words."""
    notes: tuple[str, ...] = ()
    """What else is to be known of it."""
    done: bool = False
    """Whether it has said its last word."""


@dataclass(frozen=True)
class Picture:
    """A swarm at one moment."""

    experiment: str
    state: str
    """absent, starting, waiting, running, paused, draining, finished, stopped, failed or superseded."""
    label: str = ""
    """`4 local / 4 external`, say."""
    rounds: int = 0
    closed: int = 0
    """Rounds that are over."""
    round_s: float | None = None
    """Seconds that a round takes: the median of the newest ones."""
    left_s: float | None = None
    """Seconds until the last round will have closed; None where nobody can tell."""
    rewards: tuple[float, ...] = ()
    """Mean own reward over the run, in equal parts."""
    reward: float | None = None
    """Mean own reward over the newest rounds, ten at most."""
    cumulative: float | None = None
    """Own reward summed over nodes and rounds."""
    nodes: tuple[NodeLine, ...] = ()
    coordinator: str = ""
    """Who coordinates, and since when nothing was heard of it."""
    result: str = ""
    """What came out of it, once it has ended."""
    alarms: tuple[str, ...] = ()
    """What a person should see first."""
    notes: tuple[str, ...] = ()
    """What is said of the swarm as a whole."""

    lost: bool = False
    """Whether nothing is heard of a coordinator any more, so that the state is an old one."""

    @property
    def ended(self) -> bool:
        """Whether nothing more is to come."""
        return self.state in OVER


def chosen(nodes: Sequence[NodeLine], most: int = MOST_NODES) -> tuple[list[NodeLine], list[NodeLine]]:
    """The nodes that have rows, and the others; those in trouble go first, then those that are furthest behind.

    Args:
        nodes: all of them.
        most: rows that there are.

    Returns:
        Both lists by name, numbers in names by their size.
    """
    worst = sorted(nodes, key=lambda n: (not n.problems, n.round, -(n.step_s or 0.0), _order(n.node)))
    return sorted(worst[:most], key=lambda n: _order(n.node)), sorted(
        worst[most:], key=lambda n: _order(n.node)
    )


def _order(node: str) -> list[tuple[bool, int, str]]:
    """Sorts node-2 before node-10."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in _DIGITS.split(node)]
