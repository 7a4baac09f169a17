"""Decides about a failure: restart the actor, or stop. Pure; `failure_causes` classifies errors."""

from __future__ import annotations

from collections import Counter
from enum import Enum

LONGEST_PAUSE_S = 30.0


class Kind(Enum):
    """Kinds of failure that are answered differently."""

    INFRASTRUCTURE = "infrastructure"
    """A process or a folder went away; a retry may succeed."""
    DATA = "data"
    """Bad data; it would fail again. A trainer handles the data of single nodes itself."""
    USER = "user"
    """The request cannot be carried out."""
    BROKEN = "broken"
    """A bug, which would raise again."""


class FailurePolicy:
    """Counts failures and decides.

    Args:
        restarts: restarts of one actor without a round finished in between.
    """

    def __init__(self, restarts: int) -> None:
        self._restarts = restarts
        self._used: Counter[str] = Counter()

    def may_restart(self, role: str, kind: Kind) -> bool:
        """Whether the actor is restarted after this failure, which is counted then, or the run stops.

        Args:
            role: the actor: `trainer-0`, `coordinator`; `ray` for Ray itself.
            kind: what failed.
        """
        allowed = kind is Kind.INFRASTRUCTURE and self.used(role) < self._restarts
        self._used[role] += allowed
        return allowed

    def used(self, role: str) -> int:
        """Restarts of `role` since its last progress."""
        return self._used[role]

    def pause_s(self, role: str) -> float:
        """Seconds to wait before the restart that was decided: 1, 2, 4 and so on, at most 30."""
        return min(LONGEST_PAUSE_S, 2.0 ** (max(1, self.used(role)) - 1))

    def progressed(self, role: str) -> None:
        """Reset the restart budget of `role`: it has finished a round."""
        self._used.pop(role, None)
