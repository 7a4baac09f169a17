"""Control requests in the folder (stop, pause, resume), each carried out once and answered in the state log."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Literal

from drive_store import ExperimentStore, StoreError, record_in, why_no_record
from drive_store.statelog.coordinator import RequestReader
from swarm_ray.records.state import ControlRequest

Action = Literal["stop", "pause", "resume"]


def reply_to(action: Action, *, paused: bool, over: bool) -> str:
    """The reply to a request: stopped, paused, resumes, or nothing to do and why.

    Args:
        action: what is asked.
        paused: no round is to open.
        over: the last round has closed.
    """
    if action == "stop":
        return "stopped"
    if over:
        return "nothing to do: the last round has closed"
    if action == "pause":
        return "nothing to do: it is paused" if paused else "paused"
    return "resumes" if paused else "nothing to do: it is not paused"


class Control:
    """Obeys requests, and keeps the replies for the next record.

    Args:
        experiment: the experiment in the shared folder.
    """

    def __init__(self, experiment: ExperimentStore) -> None:
        self._store, self._paths = experiment.store, experiment.paths
        self._requests = RequestReader(experiment)
        self._asked: deque[Action] = deque()
        self._answered: set[str] = set()
        self.paused = False
        self.stopped = False
        self.replies: dict[str, str] = {}
        """Of requests that no record has answered yet."""

    def restore(self, answered: set[str], *, paused: bool) -> None:
        """Restore from the log: requests that it answers are not repeated."""
        self._answered |= answered
        self.paused = paused

    def ask(self, action: Action) -> None:
        """Ask from within the process; from any thread."""
        self._asked.append(action)

    def scan(self, *, over: bool) -> bool:
        """Read and obey new requests, in one listing; True when there were any.

        Raises:
            StoreError: the folder cannot be read.
        """
        found = self._requests.poll()
        fresh = [name for name in found if name not in self._answered]
        self.written(found.keys() - set(fresh))
        for name in fresh:
            request = record_in(found[name], ControlRequest)
            self.replies[name] = (
                self._obey(request.action, over=over)
                if request
                else f"nothing to do: a request that cannot be read ({why_no_record(found[name], ControlRequest)})"
            )
        asked = [self._asked.popleft() for _ in range(len(self._asked))]
        for action in asked:
            self._obey(action, over=over)
        return bool(fresh or asked)

    def written(self, names: Iterable[str]) -> None:
        """Remove requests that the log has answered."""
        for name in names:
            self._answered.add(name)
            self.replies.pop(name, None)
            with suppress(
                StoreError
            ):  # it stays, and is known as answered while the log's newest records say so
                self._store.remove(self._paths.request(name))

    def _obey(self, action: Action, *, over: bool) -> str:
        reply = reply_to(action, paused=self.paused, over=over)
        if reply in {"paused", "resumes"}:
            self.paused = reply == "paused"
        self.stopped = self.stopped or reply == "stopped"
        return reply
