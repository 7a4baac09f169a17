"""Supervises a worker's actors: their calls, their processes' memory, and restarts when one dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from drive_store import StoreError
from swarm_ray.errors import SwarmError
from swarm_ray.machine import ray_actors
from swarm_ray.machine.actor_errors import ActorDied
from swarm_ray.machine.process_memory import ProcessMemory
from swarm_ray.machine.ray_actors import NOTHING, Share
from swarm_ray.machine.ray_instance import RayInstance
from swarm_ray.runtime.failure_causes import explained, kind_of
from swarm_ray.runtime.failure_policy import FailurePolicy

ANSWER_WITHIN_S = 60.0
QUICK_S = 1.0
"""Time limit of an actor's answer to a display."""
RAY = "ray"
"""The role of Ray itself in the policy."""


@dataclass
class Watched:
    """An actor and its calls in flight."""

    role: str
    make: Callable[[], Any]
    """Starts its process and returns its handle."""
    runs: bool
    """Whether it has a `run`, with which its work ends."""
    by_ray: bool
    """Whether Ray itself restarts it."""
    share: Share
    handle: Any = None
    calls: dict[Any, str] = field(default_factory=dict)
    """Method names by call: `run`, `where`."""
    asked: float = 0.0
    """When it was started, until its first answer; then 0."""
    due: float | None = None
    """When it is to be restarted."""

    def forget(self) -> None:
        """Its process has gone."""
        self.handle, self.calls, self.asked = None, {}, 0.0


class Supervisor:
    """Starts actors, returns their results, and restarts them as the policy says.

    Args:
        policy: decides.
        ray: the Ray that they run on; None if it is not restarted.
        tell: takes the actor and a line about what was done.
        started_within_s: time limit of an actor's start.
    """

    def __init__(
        self,
        policy: FailurePolicy,
        ray: RayInstance | None,
        tell: Callable[[str, str], None],
        started_within_s: float,
    ) -> None:
        self.policy, self._ray, self._tell = policy, ray, tell
        self._within = started_within_s
        self._actors: dict[str, Watched] = {}
        self._asked: dict[str, Any] = {}
        self._memory = ProcessMemory()
        self._generation = ray.generation if ray else 0

    def start(
        self,
        role: str,
        make: Callable[[], Any],
        *,
        runs: bool = True,
        by_ray: bool = False,
        share: Share = NOTHING,
    ) -> None:
        """Start an actor and, where it has one, its `run`.

        Raises:
            ActorFailure: its name is taken.
        """
        self._actors[role] = Watched(role, make, runs, by_ray, share)
        self._make(self._actors[role])

    def watch(self, timeout_s: float) -> list[tuple[str, Any]]:
        """Wait briefly; returns actors whose work has ended, with their results.

        Raises:
            SwarmError: a failure that ends the run, with its cause.
            StoreError: the same.
        """
        if self._ray is not None and (self._ray.lost() or self._ray.generation != self._generation):
            self._revive(self._ray)
        ended = []
        calls = [call for actor in self._actors.values() for call in actor.calls]
        for call in ray_actors.finished(calls, timeout_s):
            ended += self._take(next(a for a in self._actors.values() if call in a.calls), call)
        now = time.monotonic()
        for role in self._memory.sample(now):
            if self._actors[role].by_ray:
                self._restarted_by_ray(self._actors[role])
        for actor in self._actors.values():
            if actor.asked and now - actor.asked > self._within:
                raise ray_actors.not_up(actor.role, actor.share, self._within)
            if actor.due is not None and now >= actor.due:
                self._make(actor)
        return ended

    def handle(self, role: str) -> Any:
        """The handle of an actor; None while it is not running."""
        return self._actors[role].handle if role in self._actors else None

    def call(self, role: str, method: str, *arguments: Any) -> Any:
        """Call a method of an actor; None while it is not running."""
        handle = self.handle(role)
        if handle is None or (self._ray is not None and self._ray.lost()):
            return None
        return getattr(handle, method).remote(*arguments)

    def ask(self, role: str, method: str) -> Any:
        """An actor's quick answer; None while it is busy or dead, when a later call takes the answer."""
        call = self._asked.pop(role, None) or self.call(role, method)
        if call is None:
            return None
        if not ray_actors.finished([call], QUICK_S):
            self._asked[role] = call
            return None
        with suppress(SwarmError, StoreError):  # `watch` handles dead actors
            return ray_actors.result_of(call, QUICK_S)
        return None

    def running(self) -> dict[Any, str]:
        """Calls of `run` that have not ended, with their actors."""
        return {c: a.role for a in self._actors.values() for c, what in a.calls.items() if what == "run"}

    def at_work(self) -> set[str]:
        """Actors whose `run` has not ended, including those waiting for a restart."""
        return {*self.running().values(), *[a.role for a in self._actors.values() if a.due is not None]}

    def starting(self) -> bool:
        """Whether an actor is starting or waits for a restart."""
        return any(actor.asked or actor.due is not None for actor in self._actors.values())

    def wait_for(self, calls: Iterable[Any], within_s: float, ended: Callable[[Any], None]) -> None:
        """Wait for calls until all have ended or the time is up; `ended` is called with each."""
        waiting, deadline = [call for call in calls if call is not None], time.monotonic() + within_s
        while waiting and time.monotonic() < deadline:
            for call in ray_actors.finished(waiting, 0.2):
                waiting.remove(call)
                ended(call)

    def end(self) -> None:
        """End every actor's process; harmless when repeated."""
        for actor in self._actors.values():
            if actor.handle is not None:
                ray_actors.kill(actor.handle)
        self._actors = {}

    def _make(self, actor: Watched) -> None:
        actor.due, actor.asked = None, time.monotonic()
        actor.handle = actor.make()
        actor.calls = {actor.handle.where.remote(): "where"}
        if actor.runs:
            actor.calls[actor.handle.run.remote()] = "run"

    def _take(self, actor: Watched, call: Any) -> list[tuple[str, Any]]:
        """The result of an ended call, if it ends the actor's work."""
        what = actor.calls.pop(call)
        try:
            answer = ray_actors.result_of(call, ANSWER_WITHIN_S)
        except (SwarmError, StoreError) as error:
            self._failed(actor, error)
            return []
        if what == "run":
            return [(actor.role, answer)]
        actor.asked = 0.0
        if answer[1] == ray_actors.own_machine():
            self._memory.follow(actor.role, answer[0])
        return []

    def _failed(self, actor: Watched, error: Exception) -> None:
        """Schedule an actor's restart, or raise its failure."""
        cause = explained(actor.role, error, self._memory.last(actor.role))
        self._decide(actor.role, cause)
        self._memory.forget(actor.role)
        ray_actors.kill(actor.handle)
        actor.forget()
        pause = self.policy.pause_s(actor.role)
        actor.due = time.monotonic() + pause
        self._tell(actor.role, f"{cause}; it is started again in {pause:g} s")

    def _restarted_by_ray(self, actor: Watched) -> None:
        """Count a restart by Ray, which also repeats the calls, and ask for the new process."""
        cause = explained(actor.role, ActorDied("its process has gone"), self._memory.last(actor.role))
        self._decide(actor.role, cause)
        actor.asked = time.monotonic()
        actor.calls[actor.handle.where.remote()] = "where"
        self._tell(actor.role, f"{cause}; it was started again")

    def _decide(self, role: str, cause: Exception) -> None:
        """Raise `cause` unless the policy allows a restart."""
        if not self.policy.may_restart(role, kind_of(cause)):
            raise cause

    def _revive(self, ray: RayInstance) -> None:
        """Restart Ray, unless another worker has, and every actor that was running."""
        if ray.lost():
            self._decide(RAY, ActorDied("Ray died on this machine: its raylet was killed, or crashed"))
            self._memory.end_all()
            ray.revive()
        self._generation, self._asked = ray.generation, {}
        for actor in self._actors.values():
            at_work = actor.calls or actor.due is not None or not actor.runs
            actor.forget()
            if at_work:
                self._make(actor)
        self._tell(RAY, "Ray died on this machine, and was started again with all actors")
