"""A trainer's pulse: it counts what is done, and carries the wish to stop into the longest loops."""

from __future__ import annotations

import threading

from swarm_ray.errors import StopRequested


class Pulse:
    """Beaten at every token that is decoded, every pass of an update and every look at the folder.

    Whoever watches `count` can tell a trainer that is slow from one that hangs.
    """

    def __init__(self) -> None:
        self.count = 0
        self.stopping = threading.Event()

    def beat(self) -> None:
        """Count one more thing done.

        Raises:
            StopRequested: the worker was told to stop.
        """
        self.count += 1
        if self.stopping.is_set():
            raise StopRequested("told to stop")

    def pause(self, seconds: float) -> None:
        """Wait so long, and not a moment longer once the worker is told to stop.

        Raises:
            StopRequested: it was told to.
        """
        self.stopping.wait(seconds)
        self.beat()

    def stop(self) -> None:
        """Let the next beat raise; harmless when repeated."""
        self.stopping.set()


def no_pulse() -> None:
    """The pulse of a policy that nobody watches."""
