"""CPU seconds of generating and updating one node's round, beside the ways that peers do it, in one run.

    python benchmarks/policy_step.py [repeats]

The embedded model with untrained weights answers 8 questions 8 times and learns from 8 groups. Peers: transformers'
`generate` called once for all completions and once per completion round (as GenRL does), and an update on right-padded
rows of one completion each. Prints the median of CPU seconds on one thread, and each peer's ratio to ours.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import GenerationConfig

from swarm_ray.config.load import load_config
from swarm_ray.config.schema import GrpoConfig, SwarmConfig
from swarm_ray.policies.logprobs import Layout, TokenGroup
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.tiny.loading import TinyStart
from swarm_ray.sapo.grpo import grpo_loss
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Scorer

LOSS = grpo_loss(GrpoConfig())

QUESTIONS, COPIES = 8, 8


def main(repeats: int) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    config = load_config(overrides=["policy.start=blank"])
    tasks = TaskSet(config.tasks)
    with tempfile.TemporaryDirectory() as cache, Scorer(config.tasks) as verifier:
        start = TinyStart(config.policy, tasks, verifier, Path(cache), lambda *_: None)
        policy, padded = start.policy(0), start.policy(0)
    padded.layout = Layout.PADDED
    texts = [q.text for q in tasks.draw(random.Random(0), QUESTIONS)]
    groups = training_groups(policy, texts)
    compare(
        f"generate, {QUESTIONS} questions x {COPIES} completions",
        {
            "one batched decode, prompt computed once (ours)": lambda: policy.generate(texts, COPIES, 0),
            "transformers generate, one call": lambda: generate_calls(policy, texts, config, 1),
            "transformers generate, a call per completion": lambda: generate_calls(
                policy, texts, config, COPIES
            ),
        },
        repeats,
    )
    compare(
        f"update, {QUESTIONS} groups of {COPIES}",
        {
            f"{policy.layout.value} rows (ours)": lambda: policy.update(groups, LOSS),
            "a right-padded row per completion": lambda: padded.update(groups, LOSS),
        },
        repeats,
    )


def training_groups(policy: Policy, texts: list[str]) -> list[TokenGroup]:
    """Groups in which half of the completions were right."""
    advantages = tuple(1.0 if i % 2 else -1.0 for i in range(COPIES))
    generated = policy.generate(texts, COPIES, 0)
    return [
        policy.group(text, (c.ids for c in made), advantages)
        for text, made in zip(texts, generated, strict=True)
    ]


def generate_calls(policy: Policy, texts: list[str], config: SwarmConfig, calls: int) -> None:
    """All completions by transformers' own `generate`, in `calls` calls."""
    tokenizer = policy.tokenizer
    prompts = [policy.group(text, []).prompt for text in texts]
    width = max(map(len, prompts))
    pad = tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    settings = GenerationConfig(
        do_sample=True,
        top_k=0,
        max_new_tokens=config.policy.max_new_tokens,
        num_return_sequences=COPIES // calls,
        pad_token_id=pad,
        eos_token_id=tokenizer.eos_token_id,
    )
    for _ in range(calls):
        out = policy.model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
        for row in out[:, width:].tolist():
            tokenizer.decode(row, skip_special_tokens=True)


def compare(title: str, ways: dict[str, Callable[[], object]], repeats: int) -> None:
    """Median CPU seconds of each way, taken in turn so that a drifting machine harms none more than another."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            began = time.process_time()
            way()
            if repeat:
                seconds[name].append(time.process_time() - began)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    ours = next(iter(medians.values()))
    print(f"\n{title} ({repeats} repeats)")
    for name, median in medians.items():
        low, high = min(seconds[name]), max(seconds[name])
        print(
            f"  {name:50} {median * 1e3:7.1f} ms  ({low * 1e3:.1f} to {high * 1e3:.1f})  {median / ours:5.2f}x"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
