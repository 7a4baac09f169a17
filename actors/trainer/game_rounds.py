"""Which round a game plays next: the one that the coordinator opens or, without a coordinator, the following one."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median_low
from typing import Any

from actors.trainer.checkpoints import TrainerContext
from drive_store import RETRYABLE, Spool, find_round_files
from swarm_ray.errors import StopRequested
from swarm_ray.exchange.state_follower import NoRound
from swarm_ray.genrl.peers import Peers
from swarm_ray.records.state import Moment, StageOpen
from swarm_ray.sapo.node import Node


class GameOver(StopRequested):
    """The node has no further round to play; the reason if the experiment was stopped or failed, else an empty text."""


class GameRounds:
    """Waits for rounds, and moves a game's manager to them.

    Args:
        node: as restored from its checkpoint.
        former: incarnations that the node had.
        context: the trainer's configuration, state and reporter.
        spool: holds the node's files; None without a coordinator.
        peers: who else plays.
    """

    def __init__(
        self,
        node: Node,
        former: Sequence[str],
        context: TrainerContext,
        spool: Spool | None,
        peers: Peers,
    ) -> None:
        self._node, self._former, self._spool, self._peers = node, former, spool, peers
        self._config, self._experiment = context.config, context.experiment
        self._state, self._reporter = context.state, context.reporter
        self.alone = False
        """Whether the current round is played alone because the coordinator is missing."""

    @property
    def opened(self) -> Moment | None:
        """The stage that the state log has open, as far as it was read."""
        latest = self._state.latest
        return latest.opens.moment if latest is not None and latest.opens is not None else None

    def first(self, manager: Any) -> int:
        """The round to begin with.

        Raises:
            GameOver: no round is left.
            StopRequested: the worker was asked to stop.
        """
        before, step = self._node.round, self._node.step
        if self._spool is None:
            number = self._after_all_others()
        else:
            self._state.poll()
            self._leave_lost_steps(self._spool)
            number = self._wait(manager, self._node.round, enters=True)
        if self._former:
            lost = self._node.step - step
            said = f"{lost} update(s) lost: a game cannot take them again" if lost else "nothing lost"
            self._reporter.tell_recovered(
                self._node, f"resumed at step {self._node.step}, round {number}, after round {before}; {said}"
            )
        return number

    def go_on(self, manager: Any, number: int) -> None:
        """Wait for a round after `number`, and let the manager skip those in between.

        Raises:
            GameOver: no round is left.
            StopRequested: the worker was asked to stop.
        """
        if self._spool is None:
            return
        skipped = self._wait(manager, number) - number - 1
        if skipped:
            manager.pass_over(skipped)  # the data stream continues as if the rounds had been played
            manager.state.round += skipped
            self._reporter.tell(
                "game", f"{skipped} round(s) went by without this node", self._node.id, number + skipped
            )

    def _wait(self, manager: Any, after: int, *, enters: bool = False) -> int:
        """The next round in which the node takes part from its first stage on."""
        while True:
            opened = self._state.wait_open({self._node.id}, after)
            if opened is NoRound.ENDED:
                raise GameOver(self._state.latest.cut_short if self._state.latest else "")
            if not isinstance(opened, StageOpen):
                self.alone = True
                self._state.alone_left -= 1
                return after + 1
            self.alone = False
            latest = self._state.latest
            manager.max_round = max(latest.rounds if latest else 0, opened.round + 1)
            if opened.stage == 0 and not (enters and self._has_shared(opened.round)):
                return opened.round
            # No node enters a round in its middle, or twice; and none needs to wait for us in it.
            self._node.skipped = "it was started again in the middle of the round"
            self._reporter.failed(self._node, opened.round)
            self._node.skipped = ""
            after = opened.round

    def _after_all_others(self) -> int:
        """Without a coordinator: the round after the other players' rounds, so that no finished round is played again.

        Players are within a round or two of each other: outliers and rounds beyond the game's end are ignored.
        """
        try:
            self._peers.look(now=True)
        except RETRYABLE as error:
            self._state.problem = error
        playing = self._peers.playing().values()
        others = [peer.round for peer in playing if 0 <= peer.round < self._config.rounds]
        return max(self._node.round, median_low(others) if others else -1) + 1

    def _leave_lost_steps(self, spool: Spool) -> None:
        """Skip steps that were shared but whose updates no checkpoint holds: only one file counts per step."""
        latest = self._state.latest
        tally = latest.tallies.get(self._node.id) if latest else None
        shared = [entry.step // self._config.stages for entry in spool.entries()]
        shared += [tally.step] if tally is not None and tally.round >= 0 else []
        if self._former:
            self._node.step = max([self._node.step, *(step + 1 for step in shared)])

    def _has_shared(self, number: int) -> bool:
        """Whether an earlier incarnation has published something for a round."""
        if self._spool is not None and any(entry.round == number for entry in self._spool.entries()):
            return True
        try:
            return any(
                find_round_files(self._experiment, self._node.id, life, number) for life in self._former
            )
        except RETRYABLE:
            return False
