"""Which of the payloads that came in a stage are let into the game: their form alone is judged here."""

from __future__ import annotations

from typing import Any

from genrl.communication import Payload
from genrl.state import WorldState


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
                return "a batch item that is no payload of GenRL"
            if completions is not None and _count(item.actions) != completions:
                return f"another number of completions than this node's {completions}"
    return ""


def completions_of(payload: Any) -> int | None:
    """How many completions the rollouts of a node's own payload have; None where they are no lists."""
    counts = {_count(item.actions) for items in payload.values() for item in items}
    return counts.pop() if len(counts) == 1 else None


def rollouts_in(payload: Any) -> int:
    """Rollouts in a payload that was let in."""
    return sum(len(items) for items in payload.values())


def _count(actions: Any) -> int | None:
    return len(actions) if isinstance(actions, (list, tuple)) else None
