"""The Ray instance that a swarm runs on: the one that is there, or a private local one. The typed door to Ray."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

import drive_store
from swarm_ray import errors
from swarm_ray.errors import ActorFailure

OBJECT_STORE_BYTES = 200_000_000
"""Little travels through Ray; its default would take 30 % of the memory."""
STARTED_WITHIN_S = 300.0
"""An actor that is not up by then never will be."""


class RayInstance:
    """Uses the Ray that is initialised, else starts a private one on this machine and shuts that down at the end.

    Starting takes seconds, so it can be begun in the background while something else is prepared.
    """

    def __init__(self) -> None:
        self._ours = False
        self._pool = ThreadPoolExecutor(1, "ray-start")
        self._started: Future[None] | None = None

    def begin(self) -> None:
        """Begin to start Ray where it is not there."""
        if self._started is None and not ray.is_initialized():
            self._ours = True
            self._started = self._pool.submit(_init)

    def wait(self) -> None:
        """Return when Ray is there.

        Raises:
            ActorFailure: it does not start.
        """
        on_terminate = signal.getsignal(signal.SIGTERM)
        self.begin()
        if self._started is None:
            return
        try:
            self._started.result(timeout=STARTED_WITHIN_S)
        except (TimeoutError, OSError, RuntimeError, ValueError) as error:
            raise ActorFailure(f"Ray does not start on this machine: {error}") from error
        if threading.current_thread() is threading.main_thread():
            # Ray's own handler of SIGTERM would end this process at once, and leave its actors behind.
            signal.signal(signal.SIGTERM, on_terminate)

    def close(self) -> None:
        """Shut down what was started here; harmless when repeated."""
        self._pool.shutdown(wait=True)
        if self._ours and ray.is_initialized():
            ray.shutdown()


def _init() -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # loopback only; unset, every start prints a warning
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        logging_level=logging.ERROR,
        object_store_memory=OBJECT_STORE_BYTES,
    )


def spawn(
    actor: Any, name: str, namespace: str, *arguments: Any, cpus: float = 0.0, gpus: float = 0.0
) -> Any:
    """Start an actor under a name of its own in the experiment's namespace; answers its handle at once."""
    options = actor.options(
        name=name, namespace=namespace, num_cpus=cpus, num_gpus=gpus, runtime_env=_environment()
    )
    return options.remote(*arguments)


def _environment() -> dict[str, Any]:
    """What actors inherit: the single-threaded default of OpenMP would slow a trainer that owns the machine."""
    return {"env_vars": {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}}


def not_started() -> ActorFailure:
    """The error for an actor that was never placed: what there is to be had, and what to do."""
    total, free = _resources(), ray.available_resources()  # type: ignore[no-untyped-call]
    found = ", ".join(f"{free.get(k, 0):g} of {total[k]:g} {k}" for k in ("CPU", "GPU") if k in total)
    return ActorFailure(
        f"a trainer did not start within {STARTED_WITHIN_S:.0f} s; free on this Ray are {found or 'no CPUs'}. "
        "Use fewer trainers, or end what else runs there."
    )


def finished(calls: Sequence[Any], timeout_s: float) -> list[Any]:
    """Those of `calls` that have ended, after at most `timeout_s` seconds."""
    ended, _ = ray.wait(list(calls), num_returns=1, timeout=timeout_s)
    return list(ended)


def result_of(call: Any, timeout_s: float) -> Any:
    """The result of a call on an actor.

    Raises:
        ActorFailure: the actor died or did not answer.
        Exception: what the actor raised, as itself where it is one of ours.
    """
    try:
        return ray.get(call, timeout=timeout_s)
    except GetTimeoutError as error:
        raise ActorFailure(f"an actor did not answer within {timeout_s:.0f} s") from error
    except RayError as error:
        raise cause_of(error) from error


def cause_of(error: RayError) -> Exception:
    """What the user should read: the error that an actor raised, or why it died."""
    if isinstance(error, RayTaskError):
        raised = error.cause
        if isinstance(raised, (errors.SwarmError, drive_store.StoreError)):
            return raised
        text = " ".join(str(raised).split()) or "without a message"
        return ActorFailure(f"{type(raised).__name__}: {text[:600]}")
    if isinstance(error, RayActorError):
        return _why_died(str(error))
    return ActorFailure(f"Ray: {error}")


def _why_died(text: str) -> Exception:
    """The error that ended an actor's `__init__`, as itself where it is one of ours, else Ray's own words."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    raised = re.fullmatch(r"(?:[\w.]+\.)?(\w+): (.+)", lines[-1])
    if raised and "creation task" in text:
        kind = getattr(errors, raised[1], None) or getattr(drive_store, raised[1], None)
        if isinstance(kind, type) and issubclass(kind, (errors.SwarmError, drive_store.StoreError)):
            return kind(raised[2])
    said = " ".join(lines)
    reason = re.search(r"The actor is dead because (.+?)(?: Worker exit type:| Owner Id:|$)", said)
    if reason is None:
        return ActorFailure(f"an actor died: {said[:400]}")
    return ActorFailure(
        f"an actor died because {reason[1].rstrip('. ')}: it was killed (by hand, or by the system for want of "
        "memory: host fewer nodes) or it crashed"
    )


def kill(handle: Any) -> None:
    """End an actor's process; one that is gone already is fine."""
    ray.kill(handle, no_restart=True)


def resources() -> tuple[float, float]:
    """CPUs and GPUs that this Ray has in all."""
    found = _resources()
    return float(found.get("CPU", 0.0)), float(found.get("GPU", 0.0))


def _resources() -> dict[str, float]:
    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return found
