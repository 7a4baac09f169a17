"""Fault isolation: an error in a game's own code ends the game; a peer's broken payload costs that payload alone."""

from __future__ import annotations

import copy
import traceback
from pathlib import Path
from typing import Any

from genrl.communication import Payload
from genrl.state import WorldState

from swarm_ray.errors import SwarmError


class StageSnapshot:
    """The state at the end of a stage, from which the next is tried: with all payloads, else without the broken."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._stage, self._trees = manager.state.stage, copy.deepcopy(manager.state.trees)
        self._counts = copy.deepcopy(manager.counts)

    def advance(self, payloads: dict[Any, Any]) -> None:
        """Advance to the next stage with these payloads; raises whatever the game's own code raises."""
        manager = self._manager
        manager.state.stage, manager.state.trees = self._stage, copy.deepcopy(self._trees)
        manager.counts = manager.data_manager.counts = copy.deepcopy(self._counts)
        manager.state.advance_stage(manager.data_manager.prepare_states(manager.state, payloads))

    def attempt(self, payloads: dict[Any, Any]) -> Exception | None:
        """As `advance`; answers what the game's own code raised, if anything."""
        try:
            self.advance(payloads)
        except SwarmError:
            raise
        except Exception as error:  # noqa: BLE001 - over other nodes' data a game may raise anything
            return error
        return None


def describe_error(error: BaseException) -> str:
    """An error in a line, with the place it came from, which is lost when it crosses a process boundary."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{place}"


def refusal(payload: Any, completions: int | None) -> str:
    """Why another node's payload is not let in; empty when it is.

    Args:
        payload: what the node shared in a stage: batch items with a list of GenRL's `Payload` each.
        completions: how many completions a rollout must have, for a trainer that takes groups of one size only; None
            lets any number in.
    """
    if not isinstance(payload, dict):
        return f"a {type(payload).__name__} instead of a payload"
    for items in payload.values():
        if not isinstance(items, list) or not items:
            return "a batch item without a list of payloads"
        for item in items:
            if not isinstance(item, Payload) or not isinstance(item.world_state, WorldState):
                return "a batch item that is not a payload of GenRL"
            if completions is not None and _count(item.actions) != completions:
                return f"another number of completions than this node's {completions}"
    return ""


def completions_of(payload: Any) -> int | None:
    """How many completions the rollouts of a node's own payload have; None where they are no lists."""
    counts = {_count(item.actions) for items in payload.values() for item in items}
    return counts.pop() if len(counts) == 1 else None


def _count(actions: Any) -> int | None:
    return len(actions) if isinstance(actions, (list, tuple)) else None
