"""Small games of GenRL's in one process: a blank model of ours, GenRL's own trainer, and a gather that is a dict."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from genrl.communication.communication import Communication, Payload
from genrl.rewards import DefaultRewardManager
from genrl.rewards.reward_store import RewardFnStore, RoundRewardFnStore
from genrl.state import GameState
from genrl.trainer.grpo_trainer import GRPOLanguageTrainerModule, GRPOTrainerConfig
from models_for_tests import CHAT_TEMPLATE, make_model, make_tokenizer
from transformers import PreTrainedTokenizerFast

from swarm_ray.config.schema import GrpoConfig, PolicyConfig
from swarm_ray.errors import SwarmError
from swarm_ray.genrl.manager import SwarmGameManager
from swarm_ray.genrl.math import STAGES, MathDataManager, math_rewards
from swarm_ray.genrl.policy_trainer import PolicyTrainer
from swarm_ray.genrl.questions import batch_id, world_state_of
from swarm_ray.genrl.recorder import GameRow
from swarm_ray.genrl.rgym import GymDataManager, GymRewards
from swarm_ray.genrl.wire import decode, encode
from swarm_ray.policies.logprobs import Layout
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.tiny.loading import tiny_language
from swarm_ray.policies.tiny.model import build_model, build_tokenizer

SUMS = {"min_terms": 2, "max_terms": 2, "max_digits": 1, "min_digits": 1}
BITS = {"min_n": 1, "max_n": 31, "seed": 9}
NAMED = {"chain_sum": SUMS, "count_bits": BITS}.items()
SETS = [{"name": name, "weight": 1, "config": config} for name, config in NAMED]
DATASETS = {"size": 200, "seed": 1, "datasets": SETS}
"""Two data sets with answers of a digit or two, one with a seed of its own."""
OPENINGS = ("\nAnswer: ", "\nChoice: Student #", "\nAnswer: ")
"""What GenRL's rewards of the three stages look for, before a number."""


def tiny_policy(seed: int = 0, tokens: int = 4, rate: float = 1e-2) -> Policy:
    """The embedded model, blank, which writes digits alone: it guesses right now and then."""
    tokenizer = build_tokenizer(["What is 3 + 4?", "How many 1 bits are there in 12?"])
    language = tiny_language(build_model(tokenizer, seed), tokenizer)
    digits = [tokenizer.encode(str(d), add_special_tokens=False)[0] for d in range(10)]
    others = [i for i in range(len(tokenizer)) if i not in {*digits, tokenizer.eos_token_id}]
    return Policy(
        replace(language, banned_ids=(*language.banned_ids, *others)),
        PolicyConfig(max_new_tokens=tokens, start="blank"),
        GrpoConfig(learning_rate=rate),
        torch.device("cpu"),
        Layout.PACKED,
    )


def random_qwen() -> tuple[PreTrainedTokenizerFast, torch.nn.Module]:
    """A chat tokenizer, and a Qwen2 of a few thousand random weights."""
    tokenizer = make_tokenizer(padding_side="left")
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer, make_model("qwen2", max_position_embeddings=2048, pad_token_id=0)


def qwen_trainer(folder: Path, **settings: Any) -> GRPOLanguageTrainerModule:
    """GenRL's own trainer on `random_qwen`."""
    tokenizer, model = random_qwen()
    sampling = {"max_new_tokens": 16, "num_generations": 2, "top_k": 0, **settings}
    config = GRPOTrainerConfig(learning_rate=1e-2, enable_gradient_checkpointing=False, **sampling)
    return GRPOLanguageTrainerModule([model], config, processing_class=tokenizer, log_dir=str(folder))


class Hub:
    """What nodes of one process share: payloads by (step, stage), met at a barrier."""

    def __init__(self, nodes: int) -> None:
        self._barrier = threading.Barrier(nodes)
        self.sent: dict[tuple[int, int], dict[str, bytes]] = {}

    def meet(self, place: tuple[int, int], node: str, data: bytes) -> dict[str, bytes]:
        self.sent.setdefault(place, {})[node] = data
        self._barrier.wait(60)
        return self.sent[place]

    def abort(self) -> None:
        self._barrier.abort()


class MemoryGather(Communication):
    """A back end over a `Hub`; `foreign` payloads are heard beside those of living nodes."""

    def __init__(self, node: str, hub: Hub, foreign: Mapping[str, Any] | None = None) -> None:
        self._node, self._hub = node, hub
        self.foreign = dict(foreign or {})
        self.step_ = self.stage_ = 0
        self.problems: list[str] = []

    def all_gather_object(self, obj: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        found = self._hub.meet((self.step_, self.stage_), self._node, encode(obj))
        return {node: decode(data) for node, data in found.items()} | self.foreign

    def get_id(self) -> str:
        return self._node


class Rows:
    """A recorder that keeps what it hears."""

    def __init__(self, first: int = 0) -> None:
        self._first = first
        self.rows: list[GameRow] = []
        self.questions: list[list[str]] = []
        self.errors: list[SwarmError] = []
        self.said: list[str] = []

    def first_round(self) -> int:
        return self._first

    def restore(self, manager: Any) -> None:
        self.said.append("restored")

    def round_ended(self, manager: Any, row: GameRow) -> None:
        self.rows.append(row)
        trees = manager.state.trees[manager.rank]
        states = [tree[0][0].world_state.environment_states for tree in trees.values()]
        self.questions.append([said["question"] for said in states])

    def failed(self, manager: Any, error: SwarmError) -> None:
        self.errors.append(error)

    def ended(self, manager: Any) -> None:
        self.said.append("ended")


def rgym_data(verifier: Any, seed: int = 0, rule: str = "paper") -> GymDataManager:
    """3 questions, and at most 2 rollouts of others."""
    sizes = {"num_train_samples": 3, "num_transplant_trees": 2}
    return GymDataManager(DATASETS, rule=rule, seed=seed, answer="whole", verifier=verifier, **sizes)


def rgym_manager(
    communication: Any, verifier: Any, *, rule: str = "paper", seed: int = 0, rounds: int = 1, **more: Any
) -> SwarmGameManager:
    """The reasoning-gym game, with 8 completions a question unless `trainer` is another."""
    data = rgym_data(verifier, seed, rule)
    rewards = DefaultRewardManager(RewardFnStore(rounds, [RoundRewardFnStore(1, [GymRewards(data)])]))
    node, trainer = str(communication.get_id()), more.pop("trainer", None)
    trainer = trainer or PolicyTrainer(tiny_policy(seed), 8, seed=seed, node=node)
    return SwarmGameManager(1, rounds, GameState(0, 0), rewards, trainer, data, communication, **more)


def math_manager(back_end: Any, *, rounds: int = 1, trainer: Any = None, **more: Any) -> SwarmGameManager:
    """The maths game of three stages, 2 questions of 4 completions."""
    node, data = str(back_end.get_id()), MathDataManager(2, seed=5)
    trainer = trainer or PolicyTrainer(tiny_policy(), 4, node=node, openings=OPENINGS)
    return SwarmGameManager(STAGES, rounds, GameState(0, 0), math_rewards(), trainer, data, back_end, **more)


def shared(data: GymDataManager, texts: list[Any], position: int = 0) -> dict[str, list[Payload]]:
    """What a node that draws with another seed sends of a question; "right" stands for the answer."""
    question = data.questions.draw(77, position)
    said = texts and [question.reference if text == "right" else text for text in texts]
    return {batch_id(question): [Payload(world_state_of(question), said, None)]}


def weights(trainer: Any) -> dict[str, torch.Tensor]:
    """A copy of a trainer's weights."""
    model = trainer.policy.model if isinstance(trainer, PolicyTrainer) else trainer.model
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def moved(before: dict[str, torch.Tensor], trainer: Any) -> bool:
    """Whether a trainer's weights are others than before."""
    return any(not torch.equal(value, before[name]) for name, value in weights(trainer).items())


def play(managers: list[SwarmGameManager], hub: Hub) -> None:
    """Play all games at once, and raise what the first of them raised."""
    errors: list[BaseException] = []

    def run(manager: SwarmGameManager) -> None:
        torch.set_num_threads(1)
        try:
            manager.run_game()
        except SwarmError as error:
            errors.append(error)
            hub.abort()

    threads = [threading.Thread(target=run, args=(manager,)) for manager in managers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if errors:
        raise errors[0]
