"""The questions of a reasoning-gym game: drawn as GenRL draws them, and made again from what a peer says they are.

A question is named by (data set, index): its data set's seed and options stand in the composite configuration that all
nodes share, while each node may draw with a seed of its own.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from genrl.misc_utils.utils import generate_md5_hash_id
from genrl.state import WorldState
from reasoning_gym.composite import CompositeConfig

from swarm_ray.config.schema import TasksConfig
from swarm_ray.errors import ConfigError, UnknownQuestionError
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.streams import derive_seed
from swarm_ray.tasks.task import Question


class RowInputs:
    """Gives a trainer its prompts as a list, where GenRL makes an Arrow table of them.

    A table needs one type per column, which metadata of different data sets do not have, and costs more than the round
    of a small model. Both GenRL's trainer and ours take either.
    """

    def prepare_input(
        self, inputs: Any, stage: int | None = None
    ) -> tuple[list[dict[str, Any]], dict[int, Any]]:
        """One row with a `prompt` (chat messages) per node of a stage, and where each belongs."""
        columns, mapping = self.flatten_tree_input(inputs, stage)  # type: ignore[attr-defined]
        rows = [{name: values[i] for name, values in columns.items() if values} for i in range(len(mapping))]
        return [self.prompt_map(row) for row in rows], mapping  # type: ignore[attr-defined]


def plain(value: Any) -> Any:
    """A question's metadata as what may travel: dates and other objects become text, sets become lists."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case set() | frozenset():
            return sorted((plain(item) for item in value), key=repr)
    return value.isoformat() if isinstance(value, date) else str(value)


SEEDS = 2**32
_BAD_FILE = (OSError, yaml.YAMLError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


class GymQuestions:
    """The questions of a composite configuration.

    Args:
        config: of reasoning-gym's composite; a data set without a seed gets one that follows from `config.seed` and its
            name, so that all nodes have the same. It must be as the file says, before a node puts its own seed in.
        chunk: questions per data set; GenRL's stream begins anew, with another mixture, after so many.
        answer: what of a completion is scored: `tagged`, as GenRL does, or `whole`.

    Raises:
        ConfigError: a data set or an option is unknown, or cannot be made again elsewhere.
    """

    def __init__(self, config: CompositeConfig, chunk: int, answer: str = "tagged") -> None:
        self._weights = {spec.name: spec.weight for spec in config.datasets}
        self._chunk, root = chunk, config.seed or 0
        self._seeds = {
            spec.name: spec.config.get("seed", derive_seed(root, spec.name, 0, "pool") % SEEDS)
            for spec in config.datasets
        }
        specialties = [
            {
                "name": spec.name,
                "options": {k: v for k, v in spec.config.items() if k not in {"seed", "size"}},
            }
            for spec in config.datasets
        ]
        self.config = TasksConfig.model_validate(
            {"specialties": specialties, "seed": root, "pool": chunk, "held_out": 0.0, "answer": answer}
        )
        self._tasks = TaskSet(self.config)

    def draw(self, seed: int, position: int) -> Question:
        """The question at a position of the endless stream of a seed: what reasoning-gym's `ReseedingDataset` draws."""
        chunk, index = divmod(position, self._chunk)
        stream = random.Random((seed + chunk) % SEEDS + index)
        (name,) = stream.choices([*self._weights], weights=[*self._weights.values()])
        return self._make(name, index)

    def again(self, environment: Any) -> Question:
        """The question that an environment state speaks of, made here.

        Raises:
            UnknownQuestionError: the question is not of this game, or its text differs; the messages can be counted.
        """
        metadata = environment.get("metadata") if isinstance(environment, dict) else None
        if not isinstance(metadata, dict):
            raise UnknownQuestionError("a question without metadata")
        name, index = metadata.get("source_dataset"), metadata.get("source_index")
        if not isinstance(name, str) or name not in self._seeds:
            raise UnknownQuestionError("a question of an unknown data set")
        if type(index) is not int or not 0 <= index < self._chunk:
            raise UnknownQuestionError("a question with an index outside the pool")
        question = self._make(name, index)
        if question.text != environment.get("question"):
            raise UnknownQuestionError("a question with another text")
        return question

    def _make(self, name: str, index: int) -> Question:
        return self._tasks.question(name, self._seeds[name], index)


def environment_of(question: Question) -> dict[str, Any]:
    """What GenRL's rgym game keeps of a question; its answer is one that the verifier takes.

    GenRL takes the data set's `answer`, which is None for propositional_logic and empty for a zero in base_conversion,
    so that nothing is ever rewarded there.
    """
    origin = {"source_dataset": question.specialty, "source_index": question.index}
    return {
        "question": question.text,
        "answer": question.reference,
        "metadata": plain(dict(question.entry["metadata"])) | origin,
    }


def world_state_of(question: Question) -> WorldState:
    """A tree's root state."""
    return WorldState(environment_of(question), None, None)


def batch_id(question: Question) -> str:
    """GenRL's name of the question's tree."""
    return str(generate_md5_hash_id(question.text))


def read_composite(path: Path) -> CompositeConfig:
    """The composite configuration in a YAML file.

    Raises:
        ConfigError: it does not exist, or has another form.
    """
    try:
        config = CompositeConfig.from_yaml(str(path))
        config.validate()
    except _BAD_FILE as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"{path} is not a composite configuration of reasoning-gym: {reason}") from error
    return config
