"""GenRL's game manager for a swarm: errors are reported and never swallowed, and a game resumes where it stopped.

GenRL's own manager hides what fails: a payload that cannot be read makes the round a lonely one, and a training step
that breaks is skipped, both with a line in the log at most. Here one node's bad payload costs that payload alone, what
breaks in the node's own game ends it with the round, the stage and the cause, and every round ends in a `GameRow`.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from genrl.game.game_manager import BaseGameManager, RunType
from genrl.state import GameNode, WorldState

from swarm_ray.errors import MalformedFile, NodeFailure, StopRequested, SwarmError
from swarm_ray.genrl.counting import RoundCounts, make_row, report_of, scored_rollouts
from swarm_ray.genrl.isolation import StageSnapshot, completions_of, describe_error, refusal
from swarm_ray.genrl.recorder import GameError, GameRecorder, GameRow, TrainReport
from swarm_ray.sapo.phases import PhaseClock

__all__ = ["GameError", "SwarmGameManager"]

FAILURES_TOLERATED = 3
"""Rounds in a row in which a node's data may fail (a loss that is not finite, say) before the game ends."""
EXCHANGE_FAILURES = (OSError, EOFError, RuntimeError, MalformedFile)
"""What a back end may raise when the other nodes cannot be heard: the stage is then played with the own payload."""


class SwarmGameManager(BaseGameManager):
    """Plays a game of GenRL's as one node of a swarm.

    Args:
        max_stage: stages of a round.
        max_round: rounds of the game.
        game_state: GenRL's `GameState(round=0, stage=0)`.
        reward_manager: GenRL's; its store must have `max_round` rounds.
        trainer: a `TrainerModule`; one with `takes_ragged` true is given groups of any size, others only rollouts with
            as many completions as the node's own.
        data_manager: a `DataManager`; the manager sets its `counts` every round. One with `skip_rounds(count)` is asked
            to pass over the data of earlier rounds; from others they are drawn and dropped.
        communication: how payloads travel. Its `step_` is set to the round, its `stage_` to the stage and its `phases`
            to the clock where it has them; what it appends to `problems` is taken into the round's row.
        role_manager: GenRL's, unused.
        run_mode: train, evaluate or train_and_evaluate.
        recorder: where the game is remembered; None keeps nothing and logs.
        coordinator: of GenRL's interface (`register_peer` and so on); None needs none.
    """

    def __init__(  # noqa: PLR0913  (GenRL's interface)
        self,
        max_stage: int,
        max_round: int,
        game_state: Any,
        reward_manager: Any,
        trainer: Any,
        data_manager: Any,
        communication: Any = None,
        role_manager: Any = None,
        run_mode: str = "train",
        recorder: GameRecorder | None = None,
        coordinator: Any = None,
    ) -> None:
        super().__init__(
            max_stage,
            max_round,
            game_state,
            reward_manager,
            trainer,
            data_manager,
            communication,
            role_manager,
            run_mode,
        )
        self.recorder: GameRecorder = recorder or GameRecorder()
        self.coordinator = coordinator
        self.phases = PhaseClock(time.monotonic)
        self.counts = RoundCounts()
        self.failures_tolerated = FAILURES_TOLERATED
        """May be set to another number of rounds, before the game begins."""
        self._failures = 0
        if hasattr(self.communication, "phases"):
            self.communication.phases = self.phases

    def run_game(self) -> None:
        """Play from the first round that is not recorded to the last.

        Raises:
            GameError: a part of the node's own game failed.
            NodeFailure: its data failed in too many rounds in a row.
            StopRequested: the recorder or the back end was told to stop.
        """
        try:
            self._open()
            while not self.end_of_game():
                self.run_game_round()
            self.recorder.ended(self)
        except StopRequested:
            raise
        except SwarmError as error:
            self.recorder.failed(self, error)
            raise
        finally:
            self._hook_after_game()
            self.trainer.cleanup()
            if hasattr(self.data_manager, "close"):
                self.data_manager.close()

    def run_game_round(self) -> None:
        """Play the round that the state is in, train on it, record it, and draw the data of the next."""
        self.counts = self.data_manager.counts = RoundCounts()
        while not self.end_of_round():
            self._tell_place()
            with self.phases.phase("generate"), self._doing("generating"):
                self.run_game_stage()
            self._share_stage()
        with self.phases.phase("score"), self._doing("rewarding"):
            self.rewards.update_rewards(self.state)
            self._hook_after_rewards_updated()
        report = self._train()
        with self._doing("counting the round"):
            found = scored_rollouts(self.state, self.rewards)
            number, stages, seconds = self.state.round, self.state.stage, self.phases.take()
            row = make_row(number, stages, self.rank, found, self.counts, report, seconds)
        self._submit(row)
        self.recorder.round_ended(self, row)
        with self.phases.phase("sample"), self._doing("drawing the next round"):
            self.state.advance_round(self.data_manager.get_round_data(), agent_keys=self.agent_ids)
            self.rewards.reset()
            self._hook_after_round_advanced()

    def stage_inheritance_function(self, stage_nodes: list[GameNode]) -> list[list[GameNode]]:
        """A child with a world state of its own.

        GenRL's shares one object among all stages of a tree, so that a later stage's answers overwrite what an earlier
        stage was asked with, and training sees prompts that were never answered.
        """
        children: list[list[GameNode]] = super().stage_inheritance_function(stage_nodes)
        for child in itertools.chain(*children):
            child.world_state = world = copy.copy(child.world_state)
            if isinstance(world, WorldState) and isinstance(world.environment_states, dict):
                world.environment_states = dict(world.environment_states)
        return children

    def _open(self) -> None:
        """Take up the game: register, come back to where it was, and draw the first round's data."""
        if self.coordinator is not None:
            self.coordinator.register_peer(self.communication.get_id())
        with self._doing("restoring"):
            self.recorder.restore(self)
        first = max(self.recorder.first_round(), self.state.round)
        with self._doing("drawing the first round"):
            self.pass_over(first)
            self.state.round = first
            if hasattr(self.rewards, "set_round_stage"):
                self.rewards.set_round_stage(first, 0)
            pruners, brancher = self.aggregate_game_state_methods()
            self.state._init_game(  # noqa: SLF001 - how GenRL's own manager begins
                self.data_manager.get_round_data(),
                agent_keys=self.agent_ids,
                world_state_pruners=pruners,
                game_tree_brancher=brancher,
            )

    def pass_over(self, rounds: int) -> None:
        """Leave the data stream where an undisturbed game would have it."""
        if hasattr(self.data_manager, "skip_rounds"):
            self.data_manager.skip_rounds(rounds)
        else:
            for _ in range(rounds):
                self.data_manager.get_round_data()

    def _share_stage(self) -> None:
        """Send the stage's payload, hear the others', and go on to the next stage."""
        with self._doing("packing the payload"):
            own = self.state.get_latest_communication()[self.rank]
        payloads = self._gather(own)
        with self.phases.phase("select"):
            self._advance(own, self._admitted(payloads, own))

    def _gather(self, own: Any) -> Mapping[Any, Any]:
        """All nodes' payloads; the own one alone where the others cannot be heard, which is counted and told."""
        # A back end that has the clock tells publishing, waiting and reading apart by itself.
        has_clock = getattr(self.communication, "phases", None) is self.phases
        try:
            with nullcontext() if has_clock else self.phases.phase("gather"):
                gathered = self.communication.all_gather_object(own)
        except EXCHANGE_FAILURES as error:
            self.counts.rejected["the exchange failed"] += 1
            self.counts.problems.append(
                f"stage {self.state.stage}: the exchange failed: {describe_error(error)}"
            )
            gathered = {}
        told = getattr(self.communication, "problems", None)
        if isinstance(told, list):
            self.counts.problems += [str(problem) for problem in told]
            told.clear()
        return gathered if isinstance(gathered, Mapping) else {}

    def _tell_place(self) -> None:
        """Tell trainer and back end where the game is; a back end without stages gets a number for each."""
        number, stage = self.state.round, self.state.stage
        if hasattr(self.trainer, "place"):
            self.trainer.place = (number, stage)
        knows_stages = hasattr(self.communication, "stage_")
        if hasattr(self.communication, "step_"):
            self.communication.step_ = number if knows_stages else number * self.max_stage + stage
        if knows_stages:
            self.communication.stage_ = stage

    def _admitted(self, payloads: Mapping[Any, Any], own: Any) -> dict[Any, Any]:
        """Other nodes' payloads that have the form of one, in the order of their names."""
        size = None if getattr(self.trainer, "takes_ragged", False) else completions_of(own)
        admitted = {}
        for peer in sorted((p for p in payloads if p != self.rank), key=str):
            if reason := refusal(payloads[peer], size):
                self._drop(peer, reason)
            else:
                self.counts.offered[str(peer)] += sum(map(len, payloads[peer].values()))
                admitted[peer] = payloads[peer]
        return admitted

    def _drop(self, peer: Any, reason: str) -> None:
        self.counts.rejected[reason[:80]] += 1
        self.counts.problems.append(
            f"stage {self.state.stage}: the payload of {peer!s:.64} was dropped: {reason[:300]}"
        )

    def _advance(self, own: Any, others: dict[Any, Any]) -> None:
        """Prepare the next stage's states; a peer whose payload breaks that is left out."""
        with self._doing("copying the stage"):
            start = StageSnapshot(self)
        with self._doing("preparing the next stage"):
            if start.attempt({self.rank: own, **others}) is None:
                return
            start.advance({self.rank: own})
            tried = {peer: start.attempt({self.rank: own, peer: sent}) for peer, sent in others.items()}
            broken = {peer: error for peer, error in tried.items() if error is not None}
            start.advance({self.rank: own, **{p: sent for p, sent in others.items() if p not in broken}})
        for peer, error in broken.items():
            self._drop(peer, describe_error(error))

    def _train(self) -> TrainReport:
        """Train, evaluate, or both; failing data are tolerated for a few rounds."""
        try:
            with self.phases.phase("update"):
                if self.mode in {RunType.Train, RunType.TrainAndEvaluate}:
                    with self._doing("training"):
                        self.trainer.train(self.state, self.data_manager, self.rewards)
                if self.mode in {RunType.Evaluate, RunType.TrainAndEvaluate}:
                    with self._doing("evaluating"):
                        self.trainer.evaluate(self.state, self.data_manager, self.rewards)
        except NodeFailure as failure:
            self._failures += 1
            if self._failures >= self.failures_tolerated:
                raise
            self.counts.problems.append(f"no step was taken: {failure}")
            return TrainReport()
        self._failures = 0
        return report_of(self.trainer)

    def _submit(self, row: GameRow) -> None:
        """Tell the coordinator the round's reward, and who was best among the others."""
        if self.coordinator is None:
            return
        peer = self.communication.get_id()
        self.coordinator.submit_reward(row.round, self.max_stage - 1, row.reward, peer)
        if row.vote is not None:
            self.coordinator.submit_winners(row.round, [row.vote], peer)

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        """Turn whatever a part of the game raises into a `GameError`; Swarm Ray's own errors and interrupts pass."""
        try:
            yield
        except SwarmError:
            raise
        except Exception as error:
            raise self._failure(what, error) from error

    def _failure(self, doing: str, error: BaseException) -> GameError:
        return GameError(self.state.round, self.state.stage, doing, describe_error(error))
