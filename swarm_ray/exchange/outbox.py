"""What a worker's nodes have published, and what became of it in the state log."""

from __future__ import annotations

import time
from collections.abc import Mapping

from drive_store import RETRYABLE, Spool, SpoolEntry
from swarm_ray.exchange.direct import DirectValues
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.records.nodes import Reached
from swarm_ray.records.state import StageClosed, StateRecord

RETRY_LOOK_S = 1.0
"""Files that have to be published again are looked for at most so often."""
SHOWN_UNANSWERED = 32


class Outbox:
    """The files that a worker's nodes publish: hears the state log's answers, and publishes again what was lost.

    Args:
        state: follows the state log.
        spools: a spool on the machine's own disk for each node; none for nodes that no coordinator answers.
        direct: sees to what is not in the files themselves.
        stages: files of one step; a spool counts files, and not steps.
    """

    def __init__(
        self, state: StateFollower, spools: Mapping[str, Spool], direct: DirectValues, stages: int = 1
    ) -> None:
        self._state, self._spools, self._stages = state, spools, stages
        self.direct = direct
        self._retried = 0.0
        state.listen(self._settle)
        state.while_waiting(self.retry)

    @property
    def reached(self) -> Reached | None:
        """How this worker reaches its peers; None where the folder carries everything."""
        return self.direct.reached

    def retry(self) -> None:
        """Publish again what is due, at most once a second; a folder out of reach is tried again later."""
        if time.monotonic() - self._retried < RETRY_LOOK_S:
            return
        self._retried = time.monotonic()
        try:
            for spool in self._spools.values():
                spool.retry_due()
        except RETRYABLE as error:
            self._state.problem = error

    def unanswered(self, node: str) -> tuple[int, ...]:
        """Rounds of the node's files that no state record has answered, the oldest first, the first few."""
        rounds = dict.fromkeys(entry.round for entry in self._unanswered(node))
        return tuple(rounds)[:SHOWN_UNANSWERED]

    def keys_waiting(self, node: str) -> set[str]:
        """Names of the node's files that no state record has answered; they must not be removed."""
        return {key for entry in self._unanswered(node) for key in entry.keys}

    @property
    def problems(self) -> list[str]:
        """What was damaged in the spools, or could not be noted there."""
        return [problem for spool in self._spools.values() for problem in spool.problems]

    def release(self, node: str, step: int) -> None:
        """A checkpoint holds what the node learned before `step`: answered files of that time may go."""
        if node in self._spools:
            self._spools[node].release(step * self._stages - 1)

    def give_up(self) -> dict[str, list[int]]:
        """Mark what is still unanswered as expired; answers node to rounds."""
        left = {
            node: sorted({entry.round for entry in spool.expire()}) for node, spool in self._spools.items()
        }
        return {node: rounds for node, rounds in left.items() if rounds}

    def _unanswered(self, node: str) -> list[SpoolEntry]:
        return self._spools[node].unanswered() if node in self._spools else []

    def _settle(self, record: StateRecord) -> None:
        """Let each spool know what became of its files; what was damaged on its way is published again."""
        for source in (record.closed, record.answers):
            if source is None:
                continue
            accepted = source.accepted if isinstance(source, StageClosed) else ()
            outcomes = {"accepted": accepted, "late": source.late, "superseded": source.superseded}
            for outcome, refs in outcomes.items():
                for ref in refs:
                    if ref.node in self._spools:
                        self._spools[ref.node].settle(ref.sha256, outcome, ref.key)
            for refusal in source.rejected:
                spool = self._spools.get(refusal.node)
                if spool is not None and refusal.damaged:
                    spool.damaged(refusal.key)
                elif spool is not None:
                    spool.settle_key(refusal.key, "rejected")
