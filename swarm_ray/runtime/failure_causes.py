"""Classifies errors: whether a restart may help, and one line with a remedy for the user."""

from __future__ import annotations

from drive_store import StoreUnavailable
from swarm_ray.errors import (
    ActorFailure,
    MissingResource,
    NodeFailure,
    OutOfMemory,
    ScoringError,
    UserError,
)
from swarm_ray.machine.actor_errors import FEWER_NODES, ActorDied, ActorRaised
from swarm_ray.machine.process_memory import Sample
from swarm_ray.runtime.failure_policy import Kind

NEAR_LIMIT = 0.9
"""A process killed while the machine used at least this share of its memory counts as out of memory."""

_KINDS = (
    (UserError, Kind.USER),
    (NodeFailure, Kind.DATA),
    ((ActorRaised, MissingResource), Kind.BROKEN),
    ((ActorFailure, StoreUnavailable, ScoringError), Kind.INFRASTRUCTURE),
)
"""The first that fits applies; all other errors are bugs."""


def kind_of(error: Exception) -> Kind:
    """The kind of failure, for the restart decision."""
    return next((kind for errors, kind in _KINDS if isinstance(error, errors)), Kind.BROKEN)


def explained(role: str, error: Exception, seen: Sample) -> Exception:
    """The error for the user: which actor, and for a dead process its memory.

    Args:
        role: the actor.
        error: what `raised_in_call` or `died` answered.
        seen: its last memory sample.

    Returns:
        An error of the same family; user errors and other errors of ours stay unchanged.
    """
    if isinstance(error, ActorDied):
        memory = _memory(seen)
        if seen.available < (1 - NEAR_LIMIT) * seen.total:
            return OutOfMemory(
                f"{role} was killed when the machine's memory was used up ({memory}): {FEWER_NODES}"
            )
        return ActorDied(
            f"{role} died: {error}; {memory}, so not for want of memory: it was killed by a signal, or it crashed"
        )
    if isinstance(error, OutOfMemory):
        return OutOfMemory(f"{role}: {error}")
    if isinstance(error, ActorFailure):
        return type(error)(f"{role}: {error}")
    return error


def _memory(seen: Sample) -> str:
    resident = "unknown" if seen.resident is None else f"{seen.resident / 1e9:.1f} GB"
    return (
        f"resident memory {resident} in the last sample, {seen.available / 1e9:.1f} GB of the machine's "
        f"{seen.total / 1e9:.1f} GB were free"
    )
