"""Who is alive, judged by change and on the judge's own monotonic clock.

For how long silence counts as alive is the caller's to say: in a swarm, `pace.dead_after_s`.

Clocks of other machines and times in files decide nothing: a peer is alive while something of it changes.
The first sight of a peer counts as a change, so that a judge that has just started calls nobody dead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf


@dataclass
class Liveness:
    """When each peer was last seen to change. Does no reading and asks no clock."""

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

    def alive(self, key: str, now: float, dead_after: float) -> bool:
        """Say whether a peer has changed within the last `dead_after` seconds."""
        return self.silence(key, now) <= dead_after
