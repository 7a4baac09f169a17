"""The end of a trainer: what its nodes published is answered, or named."""

from __future__ import annotations

import time
from collections.abc import Sequence

from swarm_ray.exchange.outbox import Outbox
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.records.state import ENDED
from swarm_ray.sapo.node import Node


def drain_spools(nodes: Sequence[Node], state: StateFollower, exchange: Outbox, within_s: float) -> list[str]:
    """Wait for the answers to what was published; answers a line for each node that has files without one.

    Raises:
        StopRequested: the worker was told to stop; what is left stays in the spools for the next process.
    """
    deadline = time.monotonic() + within_s
    while any(exchange.unanswered(node.id) for node in nodes) and time.monotonic() < deadline:
        ended = state.latest is not None and state.latest.state in ENDED
        if ended and not state.poll():
            break
        state.poll()
        exchange.retry()
        state.pause()
    return [
        f"{node}: rounds {', '.join(map(str, rounds))} were published and never answered"
        for node, rounds in exchange.give_up().items()
    ]
