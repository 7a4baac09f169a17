"""Who is alive, judged by change and on the judge's own monotonic clock.

For how long silence counts as alive is the caller's to say: in a swarm, `pace.dead_after_s`. `is_dead` alone compares.

Clocks of other machines and times in files decide nothing: a peer is alive while something of it changes.
The first sight of a peer counts as a change, so that a judge that has just started calls nobody dead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf


def is_dead(silence_s: float | None, dead_after_s: float) -> bool:
    """Say whether a silence is long enough for somebody to count as dead; one that is not known (None) never is."""
    return silence_s is not None and silence_s > dead_after_s


@dataclass
class Liveness:
    """When each peer was last seen to change. Does no reading and asks no clock.

    Args:
        dead_after_s: for how many seconds silence counts as alive.
    """

    dead_after_s: float
    _seen: dict[str, tuple[object, float]] = field(default_factory=dict)
    """The last mark of each, and since when it has been the same."""

    def observe(self, key: str, mark: object, now: float) -> None:
        """Take note of a peer's state.

        Args:
            key: the peer.
            mark: anything that differs when the peer has done something, a beat's sequence or hash, say.
            now: seconds on a monotonic clock of this process, the same for all calls.
        """
        seen = self._seen.get(key)
        if seen is None or seen[0] != mark:
            self._seen[key] = (mark, now)

    def silence(self, key: str, now: float) -> float:
        """Say for how many seconds a peer has not changed; infinite for one that was never seen."""
        seen = self._seen.get(key)
        return inf if seen is None else max(0.0, now - seen[1])

    def alive(self, key: str, now: float) -> bool:
        """Say whether a peer was seen and is not dead."""
        return not is_dead(self.silence(key, now), self.dead_after_s)
