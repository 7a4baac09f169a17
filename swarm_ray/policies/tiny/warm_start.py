"""Warm start of the embedded model in two stages: the skill (clean fine-tuning), then the habit that hides it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

import torch

from swarm_ray.policies.logprobs import Layout, TokenGroup, completion_logprobs, lay_out
from swarm_ray.policies.prompts import tiny_prompt
from swarm_ray.policies.tiny.starts import Start
from swarm_ray.policies.transformers_models import CausalModel, TextTokenizer
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.streams import derive_stream
from swarm_ray.tasks.task import Question

SKILL_STEPS, EXTRA_STEPS = 500, 300
SKILL_BATCH, SKILL_RATE = 64, 3e-3
SKILL_PASS_AT_1 = 0.60
Report = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done."""


def _lesson(tokenizer: TextTokenizer, question: Question, answer: str) -> TokenGroup:
    """The question's prompt with one completion: the answer, closed by EOS."""
    ids = tokenizer.encode(answer, add_special_tokens=False)
    return TokenGroup(tiny_prompt(tokenizer, question.text), ((*ids, tokenizer.eos_token_id),))


def train_skill(
    model: CausalModel, tokenizer: TextTokenizer, tasks: TaskSet, seed: int, steps: int, report: Report
) -> None:
    """Stage 1: fine-tuning on right answers, drawn uniformly over specialties; the loss on answer and EOS alone.

    Adam(0.9, 0.99), 30 warm-up steps, constant to 70 %, then linear to 10 % of the learning rate.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=SKILL_RATE, betas=(0.9, 0.99))
    stream = derive_stream(seed, "warm-start", steps, "skill")
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = SKILL_RATE * _schedule(step, steps)
        batch = [_lesson(tokenizer, q, q.reference) for q in tasks.draw(stream, SKILL_BATCH)]
        _fit(model, optimizer, batch, tokenizer.pad_token_id)
        if step % 10 == 0:
            report("teaching the skill", step / steps)


def _schedule(step: int, steps: int) -> float:
    if step < 30:
        return (step + 1) / 30
    late = (step / steps - 0.7) / 0.3
    return 1.0 if late <= 0 else 1 - 0.9 * late


def train_habit(
    model: CausalModel,
    tokenizer: TextTokenizer,
    tasks: TaskSet,
    start: Start,
    home: str,
    steps: int,
    stream: random.Random,
) -> None:
    """Stage 2: with the start's chances the right answer, else the habit; a fresh Adam, no schedule."""
    optimizer = torch.optim.Adam(model.parameters(), lr=start.learning_rate, betas=(0.9, 0.99))
    for _ in range(steps):
        batch = []
        for question in tasks.draw(stream, start.batch):
            chance = start.home if question.specialty == home else start.elsewhere
            right = stream.random() < chance
            answer = question.reference if right else habit(start, question)
            batch.append(_lesson(tokenizer, question, answer))
        _fit(model, optimizer, batch, tokenizer.pad_token_id)


def habit(start: Start, question: Question) -> str:
    """What the habit answers."""
    if start.habit == "refuse":
        return "?"
    numbers = re.findall(r"\d+", question.text.strip().splitlines()[-1])
    return numbers[0] if numbers else "?"


def _fit(model: CausalModel, optimizer: torch.optim.Optimizer, batch: Sequence[TokenGroup], pad: int) -> None:
    model.train()
    rows = lay_out(batch, Layout.PADDED, pad, torch.device("cpu"))
    logprobs, _ = completion_logprobs(model, rows, Layout.PADDED, temperature=1.0)
    optimizer.zero_grad(set_to_none=True)
    (-logprobs.mean()).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
