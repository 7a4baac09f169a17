"""GenRL's reasoning-gym game with a sharing rule that works, and nothing believed that a peer says.

GenRL 0.3.0's own rule indexes a payload that has become a list, so that no rollout is ever shared. Both rules here
learn from others:

- `upstream`: GenRL's rule as it stands, the payload's fields read by name. The J rollouts with the highest total reward
  are taken, all-correct ones first, which have no advantage and teach nothing.
- `paper`: that of SAPO (arXiv 2509.08721, section 4). Rollouts whose rewards are alike are dropped, and J of the rest
  are drawn uniformly and without replacement.

Under either, a question that a peer sends is made again here from its data set and index, and refused where its text
differs; answer and metadata are this node's own, and its own verifier scores. A peer's completions are all that is
taken.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import genrl.examples.rgym
import yaml
from genrl.communication import Payload
from genrl.examples.rgym.data import ReasoningGymDataManager
from reasoning_gym.utils import SYSTEM_PROMPTS

from swarm_ray.errors import ConfigError, MalformedFile, UnknownQuestionError
from swarm_ray.genrl.counting import RoundCounts
from swarm_ray.genrl.questions import (
    SEEDS,
    GymQuestions,
    RowInputs,
    batch_id,
    environment_of,
    read_composite,
    world_state_of,
)
from swarm_ray.records.refusals import RolloutRefusal
from swarm_ray.sapo.grpo import is_zero_advantage
from swarm_ray.tasks.scoring import Scorer, Verifier
from swarm_ray.tasks.scoring_client import ScoreItem
from swarm_ray.tasks.streams import derive_stream
from swarm_ray.tasks.task import Question

DATASETS = Path(next(iter(genrl.examples.rgym.__path__))) / "datasets.yaml"
"""GenRL's own composite configuration: the paper's nine data sets."""
MAX_ROLLOUTS = 64
"""Of one peer in a round; making questions again and scoring takes this node's time."""
MAX_COMPLETIONS = 64
MAX_CHARS = 50_000
"""Of a peer's completion."""
Key = tuple[Any, str]
"""Agent and batch item: the name of a tree."""


class Candidate(NamedTuple):
    """A peer's rollout whose question was made again and whose completions were scored here."""

    question: Question
    completions: list[str]
    rewards: list[float]


class GymDataManager(RowInputs, ReasoningGymDataManager):
    """GenRL's `ReasoningGymDataManager` with a rule that shares.

    Args:
        yaml_config_path: reasoning-gym's composite configuration, common to all nodes; GenRL's own by default. One
            that stands in a mapping is taken too.
        num_train_samples: questions per round (I of the paper).
        num_transplant_trees: rollouts of others per round, at most (J of the paper).
        rule: `upstream` or `paper`.
        seed: of this node's stream of questions and of its selection; None takes the configuration's.
        system_prompt_id: of reasoning-gym's `SYSTEM_PROMPTS`.
        chunk_size: questions per data set.
        answer: what of a completion is scored: `tagged`, as GenRL does, or `whole`.
        verifier: scores completions; None starts a process of its own, which `close` ends.

    Raises:
        ConfigError: the configuration cannot be read or names what is not there.
    """

    def __init__(  # noqa: PLR0913  (GenRL's interface)
        self,
        yaml_config_path: str | Path | Mapping[str, Any] = DATASETS,
        num_train_samples: int = 4,
        num_transplant_trees: int = 1,
        rule: Literal["upstream", "paper"] = "paper",
        seed: int | None = None,
        system_prompt_id: str = "default",
        chunk_size: int = 500,
        answer: Literal["tagged", "whole"] = "tagged",
        verifier: Verifier | None = None,
    ) -> None:
        choices = {"rule": (rule, _RULES), "system_prompt_id": (system_prompt_id, SYSTEM_PROMPTS)}
        for key, (value, known) in choices.items():
            if value not in known:
                raise ConfigError(f"{key}: {value!r} is unknown; choose {' or '.join(sorted(known))}")
        self.rule = rule
        with tempfile.TemporaryDirectory() as folder:
            path = _as_file(yaml_config_path, Path(folder))
            config = read_composite(path)
            self.questions = GymQuestions(config, chunk_size, answer)
            super().__init__(
                str(path),
                num_train_samples=num_train_samples,
                num_evaluation_samples=0,
                seed=seed,
                system_prompt_id=system_prompt_id,
                chunk_size=chunk_size,
                num_transplant_trees=num_transplant_trees,
            )
        self._draws_with = (config.seed or 0) if seed is None else seed
        self._position = 0
        self.counts = RoundCounts()
        self._scorer = Scorer(self.questions.config) if verifier is None else None
        self.verifier: Verifier = verifier or self._scorer  # type: ignore[assignment]

    def skip_rounds(self, count: int) -> None:
        """Pass over the questions of so many rounds, as if they had been drawn."""
        self._position += count * self.num_samples["train"]

    def load_reasoning_gym_dataset(
        self,
        dataset_id_or_path: str | None = None,  # noqa: ARG002 - GenRL's face
        subset: str | None = None,  # noqa: ARG002
        split: str = "train",
        num_samples: int | None = None,
    ) -> list[dict[str, Any]]:
        """The next questions of the node's stream: GenRL's stream, with answers that the verifier takes."""
        count = self.num_samples["train"] if num_samples is None else num_samples
        places = range(self._position, self._position + count)
        self._position += count
        rows = [environment_of(self.questions.draw(self._draws_with, place)) for place in places]
        for number, row in enumerate(rows):
            row["metadata"] |= {"dataset_index": number, "split": split}
        return rows

    def transplant_trees(
        self, current_state: Any, swarm_states: Mapping[Any, Any], num_transplants: int
    ) -> dict[Key, Payload]:
        """The rollouts of other nodes that this one learns from, by the manager's rule."""
        candidates = self._candidates(current_state, swarm_states)
        stream = derive_stream(
            self._draws_with % SEEDS, str(next(iter(current_state.trees))), current_state.round, "selection"
        )
        for (agent, _), candidate in candidates.items():
            self.counts.scores.setdefault(str(agent), []).extend(candidate.rewards)
        if self.rule == "paper":
            informative = {k: c for k, c in candidates.items() if not is_zero_advantage(c.rewards)}
            self.counts.zero_advantage += len(candidates) - len(informative)
            order = sorted(informative, key=str)
            taken = stream.sample(order, min(num_transplants, len(order)))
        else:
            taken = best_by_total({k: sum(c.rewards) for k, c in candidates.items()}, num_transplants)
        return {
            key: Payload(world_state_of(candidates[key].question), candidates[key].completions, None)
            for key in taken
        }

    def close(self) -> None:
        """End the scoring process, where it is this manager's own."""
        if self._scorer is not None:
            self._scorer.close()

    def _candidates(self, current_state: Any, swarm_states: Mapping[Any, Any]) -> dict[Key, Candidate]:
        """Every rollout of another node that is what it says, scored; the others are counted with their reason."""
        known: dict[Key, tuple[Question, list[str]]] = {}
        for agent in (a for a in swarm_states if a not in current_state.trees):
            # One payload per batch item in this game; of several, GenRL takes the last.
            sent = [(item, payload) for item, payloads in swarm_states[agent].items() for payload in payloads]
            if beyond := len(sent[MAX_ROLLOUTS:]):
                self.counts.rejected[f"beyond {MAX_ROLLOUTS} rollouts of one node"] += beyond
            for item, payload in sent[:MAX_ROLLOUTS]:
                try:
                    known[agent, item] = self._checked(item, payload)
                except (UnknownQuestionError, MalformedFile) as error:
                    self.counts.rejected[str(error)] += 1
        items = [ScoreItem(q.ref, text, external=True) for q, texts in known.values() for text in texts]
        scores = iter(self.verifier.score(items) if items else [])
        candidates = {}
        for key, (question, texts) in known.items():
            found_scores = [next(scores) for _ in texts]
            if any(score.outcome == "refused" for score in found_scores):
                self.counts.rejected[RolloutRefusal.EVALUATES_TEXT] += 1
                continue
            candidates[key] = Candidate(question, texts, [score.reward for score in found_scores])
        return candidates

    def _checked(self, item: Any, payload: Payload) -> tuple[Question, list[str]]:
        """What a payload asks and answers.

        Raises:
            UnknownQuestionError: the question is not of this game.
            MalformedFile: it has another name, or its completions are not texts.
        """
        question, texts = self.questions.again(payload.world_state.environment_states), payload.actions
        if item != batch_id(question):
            raise MalformedFile("a question under another's name")
        if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_COMPLETIONS:
            raise MalformedFile(f"without a list of 1 to {MAX_COMPLETIONS} completions")
        if not all(isinstance(text, str) and len(text) <= MAX_CHARS for text in texts):
            raise MalformedFile("a completion that is not text, or a very long one")
        return question, list(texts)


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
                asked += [(group, ScoreItem(question.ref, text, external=agent != own)) for text in texts]
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


_RULES = frozenset({"upstream", "paper"})


def best_by_total(totals: Mapping[Key, float], count: int) -> list[Key]:
    """GenRL's choice: the `count` trees of the highest total reward.

    As many of the lowest are dropped first as trees without any reward stand at the beginning of `totals`, which GenRL
    counts before it sorts; nothing is taken where no tree has a reward.
    """
    ranked = [key for _, key in sorted((total, key) for key, total in totals.items())]
    leading = next((i for i, total in enumerate(totals.values()) if total != 0), None)
    if leading is None or count < 1:
        return []
    return ranked[leading:][-count:]


def _as_file(config: str | Path | Mapping[str, Any], folder: Path) -> Path:
    """The path of a composite configuration, written into `folder` where it is a mapping."""
    if not isinstance(config, Mapping):
        return Path(config)
    path = folder / "datasets.yaml"
    path.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
    return path
