"""What to do about a failure: start the actor again, or stop. Pure; `failure_causes` tells the kinds apart."""

from __future__ import annotations

from enum import Enum

LONGEST_PAUSE_S = 30.0


class Kind(Enum):
    """What failed, as far as the answer depends on it."""

    INFRASTRUCTURE = "infrastructure"
    """A process or a folder went away; another try may do better."""
    DATA = "data"
    """What an actor made or was given; it would fail again. A trainer deals itself with the data of single nodes."""
    USER = "user"
    """What was asked for cannot be done."""
    BROKEN = "broken"
    """Something raises, and would raise again."""


class Decision(Enum):
    """What to do."""

    RESTART = "restart"
    STOP = "stop"


class FailurePolicy:
    """Counts failures and decides.

    Args:
        restarts: restarts of one actor without a finished round of its own between them.
    """

    def __init__(self, restarts: int) -> None:
        self._restarts = restarts
        self._used: dict[str, int] = {}

    def decide(self, role: str, kind: Kind) -> Decision:
        """What to do about a failure; a restart is counted.

        Args:
            role: the actor: `trainer-0`, `coordinator`; `ray` for all at once.
            kind: what failed.
        """
        if kind is not Kind.INFRASTRUCTURE or self.used(role) >= self._restarts:
            return Decision.STOP
        self._used[role] = self.used(role) + 1
        return Decision.RESTART

    def used(self, role: str) -> int:
        """Restarts of `role` since its last progress."""
        return self._used.get(role, 0)

    def pause_s(self, role: str) -> float:
        """Seconds to wait before the restart that was decided: 1, 2, 4 and so on, at most 30."""
        return min(LONGEST_PAUSE_S, 2.0 ** (max(1, self.used(role)) - 1))

    def progressed(self, role: str) -> None:
        """A round was finished: the budget of `role` is whole again."""
        self._used.pop(role, None)
