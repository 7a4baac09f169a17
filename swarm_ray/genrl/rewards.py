"""Rewards of reasoning-gym's verifiers for a game, without handing a stranger's text to one that evaluates it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from genrl.rewards.reward_store import RewardFnStore, RoundRewardFnStore

from swarm_ray.errors import UnknownQuestionError
from swarm_ray.genrl.rgym import GymDataManager
from swarm_ray.tasks.protocol import Question
from swarm_ray.tasks.scoring import ScoreItem


class AlikeRounds(RewardFnStore):  # type: ignore[misc, unused-ignore]
    """GenRL's store of reward functions for a game of any length: each round is rewarded like the others.

    GenRL's own holds as many rounds as it was made with, and a game may be extended while it is played.

    Args:
        reward_fns: one for each stage.
    """

    def __init__(self, reward_fns: Sequence[Callable[[Any], Any]]) -> None:
        super().__init__(1, [RoundRewardFnStore(len(reward_fns), list(reward_fns))])

    def __getitem__(self, _round: int) -> RoundRewardFnStore:
        return super().__getitem__(0)


class GymRewards:
    """GenRL's `RGRewards` (correctness alone), scored by `swarm_ray.tasks.scoring`.

    GenRL's own calls the verifier in the trainer's process with the answer and the metadata that the peer sent, and
    some verifiers of reasoning-gym call `eval` on an answer. Here a process of its own scores, within limits, against
    the question as this node makes it, and all completions of a round in one request.
    """

    def __init__(self, data_manager: GymDataManager, stage: int = 0) -> None:
        """Score what `data_manager` drew or let in, with its verifier."""
        self._data, self.stage = data_manager, stage

    def __call__(self, game_state: Any) -> dict[Any, dict[Any, list[list[float]]]]:
        """Rewards by agent, batch item, node and completion.

        Raises:
            ScoringError: the scoring process does not start.
        """
        own = next(iter(game_state.trees), None)
        rewards: dict[Any, dict[Any, list[list[float]]]] = {}
        asked: list[tuple[list[float], ScoreItem]] = []
        for agent, item, texts, question in self._rollouts(game_state):
            group = [0.0] * len(texts) if question is None else []
            rewards.setdefault(agent, {}).setdefault(item, []).append(group)
            if question is not None:
                asked += [(group, ScoreItem(question, text, external=agent != own)) for text in texts]
        scores = self._data.verifier.score([item for _, item in asked])
        for (group, item), score in zip(asked, scores, strict=True):
            group.append(score.reward)
            self._data.counts.scoring_failures += score.outcome != "ok" and not item.external
        return rewards

    def _rollouts(self, game_state: Any) -> Iterator[tuple[Any, Any, list[str], Question | None]]:
        """Agent, batch item, completions and question of every node; the question is None where it is not known."""
        states = game_state.get_stage_state(self.stage)
        for agent, items in game_state.get_stage_actions(self.stage).items():
            for item, nodes in items.items():
                for texts, world in zip(nodes, states[agent][item], strict=True):
                    try:
                        question = self._data.questions.again(world.environment_states)
                    except UnknownQuestionError:
                        question = None
                    yield agent, item, list(texts or []), question
