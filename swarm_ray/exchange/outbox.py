"""What a worker's nodes have published, and what became of it in the state log."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from drive_store import Spool
from swarm_ray.exchange.away import AWAY
from swarm_ray.exchange.state_follower import SwarmState
from swarm_ray.records.nodes import Reached
from swarm_ray.records.state import Refusal, StageClosed, StateRecord

RETRY_LOOK_S = 1.0
"""So often at most is looked for files that have to be published again."""
SHOWN_UNANSWERED = 32
DAMAGED = "Corrupt"
"""So begins the reason of a refusal of bytes that no writer wrote."""


class Reaching(Protocol):
    """Knows which peers are reached directly."""

    @property
    def reached(self) -> Reached | None:
        """How this worker reaches its peers; None where files carry all."""
        ...


@dataclass(frozen=True)
class FilesCarryAll:
    """There are no direct links."""

    reached: Reached | None = None


class PublishedFiles(Protocol):
    """Files of a worker's nodes on their way, as whoever speaks for the nodes or keeps them asks for them."""

    @property
    def problems(self) -> Sequence[str]:
        """What was damaged in the spools, or could not be noted there."""
        ...

    @property
    def direct(self) -> Reaching:
        """What goes from node to node without the folder."""
        ...

    def unanswered(self, node: str, /) -> tuple[int, ...]:
        """Rounds of the node's files that no state record has answered, the oldest first, the first few."""
        ...

    def keys_waiting(self, node: str, /) -> set[str]:
        """Names of the node's files that no state record has answered; they must not be removed."""
        ...

    def retry(self) -> None:
        """Publish again what is due."""
        ...

    def release(self, node: str, step: int, /) -> None:
        """A checkpoint holds what the node learned before `step`: answered files of that time may go."""
        ...

    def give_up(self) -> dict[str, list[int]]:
        """Mark what is still unanswered as expired; answers node to rounds."""
        ...


class NothingAwaited:
    """Files of nodes that no coordinator answers: they are written, and that is all."""

    problems: Sequence[str] = ()
    direct = FilesCarryAll()

    def unanswered(self, _node: str) -> tuple[int, ...]:
        """None."""
        return ()

    def keys_waiting(self, _node: str) -> set[str]:
        """None."""
        return set()

    def retry(self) -> None:
        """Nothing is due."""

    def release(self, _node: str, _step: int) -> None:
        """Nothing is held."""

    def give_up(self) -> dict[str, list[int]]:
        """Nothing is left."""
        return {}


class AnsweredSpools:
    """Spools that hear the state log's answers, and publish again what was lost.

    Args:
        state: follows the state log.
        spools: a spool on the machine's own disk for each node.
        stages: files of one step; a spool counts files, and not steps.
    """

    def __init__(self, state: SwarmState, spools: Mapping[str, Spool], stages: int = 1) -> None:
        self._state, self._spools, self._stages = state, spools, stages
        self._retried = 0.0
        self.direct: Reaching = FilesCarryAll()
        state.listen(self._settle)
        state.while_waiting(self.retry)

    def retry(self) -> None:
        """Publish again what is due, at most once a second; a folder out of reach is tried again later."""
        if time.monotonic() - self._retried < RETRY_LOOK_S:
            return
        self._retried = time.monotonic()
        try:
            for spool in self._spools.values():
                spool.retry_due()
        except AWAY as error:
            self._state.problem = error

    def unanswered(self, node: str) -> tuple[int, ...]:
        """Rounds of the node's files that no state record has answered, the oldest first, the first few."""
        rounds = dict.fromkeys(e.round for e in self._spools[node].unanswered())
        return tuple(rounds)[:SHOWN_UNANSWERED]

    def keys_waiting(self, node: str) -> set[str]:
        """Names of the node's files that no state record has answered; they must not be removed."""
        return {key for entry in self._spools[node].unanswered() for key in entry.keys}

    @property
    def problems(self) -> list[str]:
        """What was damaged in the spools, or could not be noted there."""
        return [problem for spool in self._spools.values() for problem in spool.problems]

    def release(self, node: str, step: int) -> None:
        """A checkpoint holds what the node learned before `step`: answered files of that time may go."""
        self._spools[node].release(step * self._stages - 1)

    def give_up(self) -> dict[str, list[int]]:
        """Mark what is still unanswered as expired; answers node to rounds."""
        left = {
            node: sorted({entry.round for entry in spool.expire()}) for node, spool in self._spools.items()
        }
        return {node: rounds for node, rounds in left.items() if rounds}

    def _settle(self, record: StateRecord) -> None:
        """Let each spool know what became of its files."""
        for source in (record.closed, record.answers):
            if source is None:
                continue
            accepted = source.accepted if isinstance(source, StageClosed) else ()
            for outcome, refs in (
                ("accepted", accepted),
                ("late", source.late),
                ("superseded", source.superseded),
            ):
                for ref in refs:
                    if ref.node in self._spools:
                        self._spools[ref.node].settle(ref.sha256, outcome, ref.key)
            for refusal in source.rejected:
                if refusal.node in self._spools:
                    self._refused(self._spools[refusal.node], refusal)

    @staticmethod
    def _refused(spool: Spool, refusal: Refusal) -> None:
        """A file that was damaged on its way is published again; one that is refused for what it says is not."""
        if refusal.reason.startswith(DAMAGED):
            spool.damaged(refusal.key)
        else:
            spool.settle_key(refusal.key, "rejected")
