"""Running the parts of a game that others wrote: their errors become ours, or cost the payload that caused them."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from swarm_ray.errors import SwarmError

Failure = Callable[[str, BaseException], SwarmError]
"""Makes the error to raise of what was being done and what that raised."""


class StageStart:
    """The state at the end of a stage, from which the next is tried: with all payloads, else without the broken."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._stage, self._trees = manager.state.stage, copy.deepcopy(manager.state.trees)
        self._counts = copy.deepcopy(manager.counts)
        self.dropped: list[tuple[Any, str]] = []

    def attempt(self, payloads: dict[Any, Any]) -> BaseException | None:
        """Go on to the next stage with these payloads; what that raised, if anything."""
        manager = self._manager
        manager.state.stage, manager.state.trees = self._stage, copy.deepcopy(self._trees)
        manager.counts = manager.data_manager.counts = copy.deepcopy(self._counts)
        caught = _Caught()
        with caught:
            states = manager.data_manager.prepare_states(manager.state, payloads)
            manager.state.advance_stage(states)
        return caught.error


class _Caught:
    """Keeps what a game's own code raises over other nodes' data; errors of ours and interrupts pass."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, SwarmError) or not isinstance(error, Exception):
            return False
        self.error = error
        return True


class Doing:
    """Turns whatever a part of the game raises into a `GameError`; errors of ours and interrupts pass."""

    def __init__(self, failure: Failure, what: str) -> None:
        self._failure, self._what = failure, what

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, SwarmError):
            raise self._failure(self._what, error) from error


class Untimed:
    """Times nothing."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def described(error: BaseException) -> str:
    """An error in a line, with the place it came from, which is lost when it crosses a process boundary."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{place}"
