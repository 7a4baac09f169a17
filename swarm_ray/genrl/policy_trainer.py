"""GenRL's trainer on a policy of ours: one batched decode, the sampled tokens trained on, one step for the whole round.

What GenRL's own trainer gets wrong is right here: the first token of a shorter completion is scored after its prompt
and not after padding, the end-of-sequence token is trained on, groups may have any size, and a loss that is not finite
is an error.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genrl.trainer import TrainerModule

from swarm_ray.errors import CheckpointError
from swarm_ray.genrl.recorder import TrainReport
from swarm_ray.policies.logprobs import TokenGroup
from swarm_ray.policies.policy import Policy, SampledCompletion
from swarm_ray.policies.prompts import Turn
from swarm_ray.policies.state import load_tensors, restore, save_tensors, snapshot
from swarm_ray.sapo.grpo import group_advantages, grpo_loss
from swarm_ray.tasks.streams import derive_seed

WEIGHTS, OPTIMIZER, SETTINGS = "weights.safetensors", "optimizer.safetensors", "trainer.json"
CUT = " ... "
"""Stands where a prompt that is too long was cut."""


class PolicyTrainer(TrainerModule):
    """Generates and learns with a `swarm_ray.policies.policy.Policy`.

    Args:
        policy: model, tokenizer and optimizer; `policy.max_new_tokens` and the temperature are its own.
        num_generations: completions per question (G).
        seed: root of the sampling streams.
        node: whose streams they are.
        advantage_epsilon: added to the standard deviation of a group's rewards (`grpo.advantage_epsilon`).
        openings: by stage, a text with which every completion begins and which is not trained on, for a model that is
            too small to write what a game's rewards look for; empty opens none.
    """

    takes_ragged = True
    """Groups may have any number of completions."""

    def __init__(
        self,
        policy: Policy,
        num_generations: int = 8,
        seed: int = 0,
        node: str = "",
        advantage_epsilon: float = 1e-4,
        openings: Sequence[str] = (),
    ) -> None:
        self.policy, self.num_generations = policy, num_generations
        self.seed, self.node, self.advantage_epsilon = seed, node, advantage_epsilon
        self.openings = tuple(openings)
        self.place = (0, 0)
        """Round and stage; the manager sets it before it asks for completions."""
        self.report = TrainReport()
        """What the last `train` did."""
        self._made: dict[tuple[Turn, tuple[str, ...]], tuple[SampledCompletion, ...]] = {}
        self._turns: dict[Turn, Turn] = {}
        specials = [policy.tokenizer.decode([i]) for i in policy.tokenizer.all_special_ids]
        self._specials = [text for text in specials if len(text) > 1]

    def generate(self, inputs: Any) -> list[list[str]]:
        """Completions of a stage's prompts, as texts without special tokens.

        Args:
            inputs: rows with a `prompt`, a list of chat messages.

        Raises:
            NodeFailure: a prompt leaves no room for a completion even when cut, or the logits are not finite.
        """
        asked = [self._asked(row) for row in inputs]
        if not asked:
            return []
        number, stage = self.place
        seed = derive_seed(self.seed, self.node, number, f"completions of stage {stage}")
        made = self.policy.generate(asked, self.num_generations, seed)
        opening, decode = self._opening(stage), self.policy.tokenizer.decode
        texts = [[opening + decode(c.ids, skip_special_tokens=True) for c in group] for group in made]
        for turn, group, group_texts in zip(asked, made, texts, strict=True):
            self._made[turn, tuple(group_texts)] = tuple(group)
        return texts

    def train(self, state: Any, data_manager: Any, reward_manager: Any) -> None:
        """One step on the token mean over all groups of all stages, own and external; `report` says what it did.

        A group's own completions are trained on as they were sampled; a peer's as this tokenizer writes their text.

        Raises:
            NodeFailure: the loss or the gradient is not finite; weights and optimizer are as before.
        """
        try:
            self.report = self._train(list(self._groups(state, data_manager, reward_manager)))
        finally:
            self.cleanup()

    def evaluate(self, state: Any, data_manager: Any, reward_manager: Any) -> None:
        """Nothing: GenRL's games have no held-out questions."""

    def save(self, save_dir: str | Path) -> None:
        """Write weights, Adam's state and the settings into a folder.

        Raises:
            CheckpointError: the disk does not take them.
        """
        folder = Path(save_dir)
        settings = {
            "num_generations": self.num_generations,
            "seed": self.seed,
            "node": self.node,
            "advantage_epsilon": self.advantage_epsilon,
            "openings": self.openings,
        }
        held = snapshot(self.policy)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
        except OSError as error:
            raise CheckpointError(f"{folder} cannot be written: {error}; choose another folder") from error
        save_tensors(held.weights, folder / WEIGHTS)
        save_tensors(held.optimizer, folder / OPTIMIZER)

    @classmethod
    def load(cls, load_dir: str | Path, policy: Policy) -> PolicyTrainer:
        """The trainer that was saved, on a policy of the same model, which gets the weights and Adam's state.

        Raises:
            CheckpointError: the folder holds no whole trainer.
            CheckpointMismatch: it is of another model.
        """
        folder = Path(load_dir)
        try:
            settings = json.loads((folder / SETTINGS).read_bytes())
            trainer = cls(policy, **settings)
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(f"{folder} holds no saved trainer: {error}; name another folder") from error
        restore(policy, load_tensors(folder / WEIGHTS), load_tensors(folder / OPTIMIZER) or None)
        return trainer

    def cleanup(self) -> None:
        """Forget what was generated and not trained on."""
        self._made.clear()
        self._turns.clear()

    def _opening(self, stage: int) -> str:
        return self.openings[stage] if stage < len(self.openings) else ""

    def _train(self, groups: list[TokenGroup]) -> TrainReport:
        made = [c for group in self._made.values() for c in group]
        cut = sum(turn != fitting for turn, fitting in self._turns.items())
        report = TrainReport(
            generated_tokens=sum(len(c.ids) for c in made),
            unfaithful=sum(not c.reencodes for c in made) / len(made) if made else 0.0,
            problems=(f"{cut} prompts were too long for the model's context and were cut",) if cut else (),
        )
        if not any(group.teaches for group in groups):
            return report
        step = self.policy.update(groups, grpo_loss(self.policy.grpo))
        return replace(
            report,
            trained=True,
            loss=step.loss,
            clip_share=step.clip_share,
            entropy=step.entropy,
            grad_norm=step.grad_norm,
        )

    def _groups(self, state: Any, data_manager: Any, reward_manager: Any) -> Iterator[TokenGroup]:
        """A group per tree node that has as many rewards as completions; what has none teaches nothing."""
        for stage in range(state.stage):
            inputs, mapping = data_manager.prepare_input(state.get_stage_state(stage), stage)
            actions, rewards = state.get_stage_actions(stage), reward_manager[stage]
            for i, row in enumerate(inputs):
                agent, item, node = mapping[i]
                texts, values = actions[agent][item][node], rewards[agent][item][node]
                if texts and len(texts) == len(values):
                    advantages = group_advantages([float(v) for v in values], self.advantage_epsilon)
                    yield self._group(self._asked(row), texts, advantages, stage)

    def _group(
        self, turn: Turn, texts: Sequence[str], advantages: tuple[float, ...], stage: int
    ) -> TokenGroup:
        own = self._made.get((turn, tuple(texts)))
        if own is not None:
            return self.policy.group(turn, (c.ids for c in own), advantages)
        # A payload does not say whether a completion was finished: one that is shorter than may be was, and the cut
        # takes the end-of-sequence token of one that is not.
        opening = self._opening(stage)
        ids = (self.policy.encode(text.removeprefix(opening), finished=True) for text in texts)
        return self.policy.group(turn, ids, advantages)

    def _asked(self, row: Mapping[str, Any]) -> Turn:
        """A row's chat messages as a turn that fits, without the text of a special token, which a peer may write."""
        messages = row["prompt"]
        system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
        asked = "\n\n".join(m["content"] for m in messages if m["role"] != "system")
        for special in self._specials:
            asked = asked.replace(special, f"{special[0]} {special[1:]}")
        turn = Turn(system, asked)
        if turn not in self._turns:
            self._turns[turn] = self._fitting(turn)
        return self._turns[turn]

    def _fitting(self, turn: Turn) -> Turn:
        """The turn, its question cut in the middle where the model's context is too short for it."""
        if self.policy.has_room(turn):
            return turn
        lengths = range(len(turn.question))
        kept = bisect_left(lengths, True, key=lambda n: not self.policy.has_room(_cut(turn, n))) - 1
        return _cut(turn, kept) if kept >= 0 else turn


def _cut(turn: Turn, kept: int) -> Turn:
    """The turn with `kept` characters of its question, from both ends."""
    head = kept // 2
    tail = turn.question[len(turn.question) - (kept - head) :]
    return Turn(turn.system, turn.question[:head] + CUT + tail)
