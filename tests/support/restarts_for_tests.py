"""Watching a swarm by hand, so that its processes can be killed at a round of the test's choice."""

import time
from pathlib import Path

import msgspec

from swarm_ray.records.metrics import Event
from swarm_ray.runtime.handle import Running


def watch_until_round(swarm: Running, closed: int, within_s: float = 90.0) -> None:
    """Supervise the swarm's first worker until so many rounds have closed."""
    (worker, *_), deadline = swarm._workers, time.monotonic() + within_s
    while worker.progress().closed < closed:
        assert not worker.watch(0.1), worker.failure
        assert time.monotonic() < deadline, worker.progress()


def events_of(root: str, kind: str) -> list[Event]:
    """All events of a kind, of every node's closed segments."""
    lines = [line for path in Path(root).rglob("logs/*/events-*") for line in path.read_bytes().splitlines()]
    events = [msgspec.json.decode(line, type=Event) for line in lines if b'"kind"' in line]
    return [event for event in events if event.kind == kind]
