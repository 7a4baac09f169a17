"""What Ray says of an actor that died or raised, as one of our errors with one line. Works on text and needs no Ray."""

from __future__ import annotations

import re

import drive_store
from drive_store import StoreError
from swarm_ray import errors
from swarm_ray.errors import ActorFailure, OutOfMemory, SwarmError

MOST_TEXT = 600
FEWER_NODES = "host fewer nodes here (nodes=...), lower policy.generate_batch or policy.micro_batch_tokens"


class ActorDied(ActorFailure):
    """An actor's process ended, or cannot be reached."""


class ActorRaised(ActorFailure):
    """An actor raised an error that is not one of Swarm Ray's: a retry would raise it again."""


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
