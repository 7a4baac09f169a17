"""Why something died, in one line with a remedy. Works on the text of errors, so that it needs no Ray."""

from __future__ import annotations

import re

import drive_store
from drive_store import StoreError, StoreUnavailable
from swarm_ray import errors
from swarm_ray.errors import ActorFailure, NodeFailure, OutOfMemory, ScoringError, SwarmError, UserError
from swarm_ray.machine.process_memory import Sample
from swarm_ray.runtime.failure_policy import Kind

NEAR_LIMIT = 0.9
"""A process that was killed while the machine used so much of its memory was killed for want of it."""
MOST_TEXT = 600
FEWER_NODES = "host fewer nodes here (nodes=...), lower policy.generate_batch or policy.micro_batch_tokens"


class ActorDied(ActorFailure):
    """An actor's process ended, or cannot be reached."""


class ActorRaised(ActorFailure):
    """An actor raised an error that is none of Swarm Ray's: it would do so again."""


def kind_of(error: Exception) -> Kind:
    """What an error means for the decision whether to start again."""
    if isinstance(error, UserError):
        return Kind.USER
    if isinstance(error, NodeFailure):
        return Kind.DATA
    if isinstance(error, ActorRaised | errors.MissingResource):
        return Kind.BROKEN
    if isinstance(error, ActorFailure | StoreUnavailable | ScoringError):
        return Kind.INFRASTRUCTURE
    return Kind.BROKEN


def raised_in_call(raised: BaseException) -> Exception:
    """What a call on an actor raised: as itself where it is one of ours, else as one line."""
    if isinstance(raised, SwarmError | StoreError):
        return raised
    return _typed(type(raised).__name__, str(raised))


def died(text: str) -> Exception:
    """Why an actor died, from Ray's words about it; the error of its `__init__` where that is what ended it."""
    raised = _LAST_ERROR.findall(text.strip()) if "creation task" in text else []
    if raised:
        name = raised[-1]
        return _typed(name, text[text.rindex(name) + len(name) :].lstrip(": "))
    if "running low on memory" in text:
        return OutOfMemory(_memory_monitor(text))
    said = " ".join(text.split())
    reason = re.search(r"The actor is dead because (.+?)(?: Worker exit type:| Owner Id:|$)", said)
    return ActorDied(reason[1].rstrip(". ") if reason else said[:MOST_TEXT])


def explained(role: str, error: Exception, seen: Sample) -> Exception:
    """The error for people: which actor, and for a death what its memory was.

    Args:
        role: the actor.
        error: what `raised_in_call` or `died` answered.
        seen: its memory before.

    Returns:
        An error of the same family; the user's mistakes and other errors of ours stay as they are.
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


_LAST_ERROR = re.compile(r"^(?:[A-Za-z_]\w*\.)*([A-Z]\w*)(?=: |:$|$)", re.MULTILINE)
"""The line on which a traceback names its error; messages of several lines follow it."""


def _typed(name: str, text: str) -> Exception:
    """An error that another process raised, by its name and text."""
    kind = getattr(errors, name, None) or getattr(drive_store, name, None)
    said = " ".join(text.split())[:MOST_TEXT] or "without a message"
    if isinstance(kind, type) and issubclass(kind, SwarmError | StoreError):
        return kind(said)
    if name == "OutOfMemoryError" or "out of memory" in said.lower():
        return OutOfMemory(f"the device's memory is used up: {FEWER_NODES} ({said[:200]})")
    if name in {"ImportError", "ModuleNotFoundError"}:
        return ActorRaised(f"{name}: {said}. Install it where the actors run, with the Python that runs them")
    return ActorRaised(f"{name}: {said}")


def _memory_monitor(text: str) -> str:
    """What Ray's memory monitor says when it kills a process, in short."""
    used = re.search(r"was ([\d.]+ ?[KMGT]?B) used / ([\d.]+ ?[KMGT]?B) limit", text)
    own = re.search(r"actual memory used=([\d.]+ ?[KMGT]?B)", text)
    whole = f"{used[1]} of {used[2]} were in use" if used else "the machine's memory was nearly used up"
    resident = f", {own[1]} by this process" if own else ""
    return f"ended by Ray because {whole}{resident}: {FEWER_NODES}"


def _memory(seen: Sample) -> str:
    resident = "unknown" if seen.resident is None else f"{seen.resident / 1e9:.1f} GB"
    return (
        f"resident memory {resident} in the last sample, {seen.available / 1e9:.1f} GB of the machine's "
        f"{seen.total / 1e9:.1f} GB were free"
    )
