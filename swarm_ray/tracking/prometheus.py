"""Prometheus: the newest figures of each node as gauges, exported by Ray's own metrics agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from swarm_ray.tracking.tracker import TrackedStep

MEANINGS = {
    "round": "The node's last round.",
    "step": "Updates that the node has taken.",
    "reward": "Mean raw reward of own completions in the last round.",
    "reward_mixed": "Mean raw reward over the training batch of the last round.",
    "seconds": "Seconds of the last round per phase.",
    "store": "What the trainer asked of the shared folder since its row before.",
}
"""Those that are not plain from their names."""


class Gauge(Protocol):
    """A gauge as Ray makes it."""

    def set(self, value: float | None, tags: dict[str, str]) -> Any:
        """Set the value that stands for these tags."""
        ...


MakeGauge = Callable[[str, str, tuple[str, ...]], Gauge]
"""Makes a gauge from its name, its meaning and the names of its tags."""


class PrometheusTracker:
    """Sets `swarm_<figure>`, which Ray exports as `ray_swarm_<figure>`, with the tags experiment and node.

    What belongs to a specialty, a phase or the like has that in the tag `of`.

    Args:
        experiment: its name.
        make: makes a gauge.
    """

    name = "prometheus"

    def __init__(self, experiment: str, make: MakeGauge) -> None:
        self._experiment, self._make = experiment, make
        self._gauges: dict[str, Gauge] = {}

    def log(self, step: TrackedStep) -> None:
        """See `Tracker.log`."""
        for figure, value in step.figures.items():
            name, _, of = figure.partition("/")
            tags = {"experiment": self._experiment, "node": step.node} | ({"of": of} if of else {})
            if name not in self._gauges:
                meaning = MEANINGS.get(name, f"{name} of the node's last round.")
                self._gauges[name] = self._make(f"swarm_{name}", meaning, tuple(tags))
            self._gauges[name].set(value, tags)

    def close(self) -> None:
        """See `Tracker.close`; gauges need not be closed."""
