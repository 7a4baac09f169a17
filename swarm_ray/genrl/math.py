"""GenRL's multi-stage maths game on questions that are made here, so that no data set is downloaded.

A round has three stages: every node answers a question, judges all answers, and answers again with the judgements
before it. Each stage's prompts are built from what the other nodes said in the stage before, so all nodes of a game
draw the same questions (from the same seed). Peers' texts are shown to the model and never evaluated; GenRL's reward
functions match numbers in a node's own completions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from genrl.examples.multistage_math.data import MSMDataManager
from genrl.examples.multistage_math.rewards import Stage0Rewards, Stage1Rewards, Stage2Rewards
from genrl.rewards import DefaultRewardManager
from genrl.rewards.reward_store import RewardFnStore, RoundRewardFnStore

from swarm_ray.config.schema import TasksConfig
from swarm_ray.errors import ConfigError
from swarm_ray.genrl.counting import RoundCounts
from swarm_ray.genrl.questions import RowInputs
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.streams import derive_stream

STAGES = 3
MOST_PER_PEER = 8
"""Answers of one node to one question that are shown."""
MAX_CHARS = 4000
"""Of an answer that is shown."""
REDRAWS = 200
EASY_SUMS: dict[str, Any] = {
    "specialties": [
        {"name": "chain_sum", "options": {"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 1}},
        {
            "name": "basic_arithmetic",
            "options": {
                "min_terms": 2,
                "max_terms": 2,
                "min_digits": 1,
                "max_digits": 1,
                "operators": ["+", "*"],
            },
        },
    ],
    "held_out": 0.0,
}
"""Small sums and products: the `tasks` of a game that names none."""


class MathDataManager(RowInputs, MSMDataManager):
    """GenRL's `MSMDataManager` without the hub.

    Args:
        num_train_samples: questions per round.
        seed: of the questions, common to all nodes.
        tasks: what the questions are of; only those are drawn whose answer is a whole number from 0 on, which is all
            that GenRL's reward functions recognise.
        allowed_modules: modules with tasks that may be imported; None for those that `tasks` names.

    Raises:
        ConfigError: a task or an option is unknown.
    """

    def __init__(
        self,
        num_train_samples: int = 2,
        seed: int = 0,
        tasks: TasksConfig | Mapping[str, Any] | None = None,
        allowed_modules: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(
            "gsm8k",  # the form of its rows; nothing of that name is read
            num_train_samples=num_train_samples,
            seed=seed,
        )
        names = {"question": "question", "answer": "answer", "metadata": "metadata"}
        self.column_map = {"names": names, "preprocessing": None}
        self.data_generator = self._draw_round
        config = tasks if isinstance(tasks, TasksConfig) else TasksConfig.model_validate(tasks or EASY_SUMS)
        self._tasks = TaskSet(config, allowed_modules=allowed_modules)
        self._seed, self._round = seed, 0
        self.counts = RoundCounts()

    def skip_rounds(self, count: int) -> None:
        """Pass over the questions of so many rounds."""
        self._round += count

    def prepare_environment(
        self, node_states: Any, swarm_states: Any, stage: int, agent: Any, batch_id: Any
    ) -> dict[str, Any]:
        """The stage's environment for the next; a copy, since GenRL writes the stage before into it."""
        return dict(super().prepare_environment(node_states, swarm_states, stage, agent, batch_id))

    def prepare_opponent(
        self,
        node_states: Any,  # noqa: ARG002 - GenRL's face
        swarm_states: Any,
        stage: int,  # noqa: ARG002
        agent: Any,
        batch_id: Any,
    ) -> list[str]:
        """What all nodes, this one too, said to a question in the stage that ends, in the order of their names."""
        said: list[str] = []
        for peer in sorted(swarm_states, key=str):
            answers = self.filter_swarm_states({peer: swarm_states[peer]}, batch_id)[:MOST_PER_PEER]
            said += [answer[:MAX_CHARS] for answer in answers]
            if answers and peer != agent:
                self.counts.shown[str(peer)] += 1
        return said

    def _draw_round(self, **_options: Any) -> list[dict[str, Any]]:
        """The questions of the next round, all different."""
        count: int = self.num_samples["train"]
        rows: dict[str, dict[str, Any]] = {}
        stream = derive_stream(self._seed, "multistage_math", self._round, "questions")
        self._round += 1
        for _ in range(REDRAWS * count):
            (question,) = self._tasks.draw(stream, 1)
            if question.reference.isdecimal() and question.text not in rows:
                rows[question.text] = {
                    "question": question.text,
                    "answer": question.reference,
                    "metadata": {"source_dataset": question.specialty, "source_index": question.index},
                }
            if len(rows) == count:
                return list(rows.values())
        names = ", ".join(self._tasks.specialties)
        raise ConfigError(
            f"{names} have no {count} different questions whose answer is a whole number from 0 on; lower "
            "num_train_samples or choose other tasks"
        )


def math_rewards() -> DefaultRewardManager:
    """A reward manager with GenRL's own reward functions of the three stages."""
    return DefaultRewardManager(AlikeRounds([Stage0Rewards(), Stage1Rewards(), Stage2Rewards()]))


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
