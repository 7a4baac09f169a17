"""What checkpoints add to a round: written beside it, written by the trainer itself, and by `torch.save`, in one run.

    python benchmarks/checkpoint_stall.py [repeats]

A round is a checkpoint and one update, during which the thread works; what it has left is waited for outside the clock,
so that every round takes one. All ways make their files durable. On the embedded model's size and on a Llama of 20
million parameters, random weights, one thread of PyTorch. Prints what the thread uses of the CPU, too.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from drive_store import ExperimentPaths, ExperimentStore, Store, create_experiment_folder
from drive_store.checkpoints.local import LocalCheckpoints
from swarm_ray.checkpointing.node_state import NodeState
from swarm_ray.checkpointing.writer import CheckpointCallbacks, Checkpointer
from swarm_ray.config.schema import CheckpointConfig, GrpoConfig, PolicyConfig
from swarm_ray.policies.logprobs import Layout, TokenGroup
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.state import save_tensors, snapshot
from swarm_ray.policies.tiny.loading import tiny_language
from swarm_ray.policies.tiny.model import build_tokenizer
from swarm_ray.policies.transformers_models import llama
from swarm_ray.sapo.grpo import grpo_loss
from swarm_ray.sapo.node import Node

LOSS = grpo_loss(GrpoConfig())

PATHS = ExperimentPaths("stall")
SIZES = {
    "embedded model's size": {"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 2},
    "Llama of 20 million": {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 6},
}
ADVANTAGES = (1.0, -1.0) * 4
GROUPS = [TokenGroup(tuple(range(5, 25)), ((6, 7, 8, 3),) * 8, ADVANTAGES)] * 4


def main(repeats: int) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    for title, sizes in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            measure(title, make_policy(sizes), Path(folder), repeats)


def make_policy(sizes: dict[str, int]) -> Policy:
    """A Llama with random weights and a policy around it."""
    tokenizer = build_tokenizer(["what is 1 plus 2?"])
    torch.manual_seed(0)
    model = llama(vocab_size=1024, num_attention_heads=4, num_key_value_heads=2, **sizes)
    language = tiny_language(model, tokenizer)
    return Policy(language, PolicyConfig(), GrpoConfig(), torch.device("cpu"), Layout.PACKED)


def measure(title: str, policy: Policy, folder: Path, repeats: int) -> None:
    """Median seconds of a round with each way, taken in turn so that a drifting machine harms none more."""
    node = Node("node-0", "0123abcd", policy)
    checkpointer = make_checkpointer(folder)
    own = LocalCheckpoints(folder / "blocking", PATHS.experiment, node.id)
    ways: dict[str, Callable[[], object]] = {
        "no checkpoints": lambda: None,
        "a thread beside it (ours)": lambda: checkpointer.after_round([node], state_of),
        "the same files, written by the trainer": lambda: write_blocking(own, node),
        "torch.save by the trainer": lambda: write_torch(folder / "state.pt", node),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    beside = 0.0
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            node.step += 1
            began = time.perf_counter()
            way()
            policy.update(
                GROUPS, LOSS
            )  # the thread works meanwhile, and what it takes from the trainer shows
            if repeat:
                seconds[name].append(time.perf_counter() - began)
            beside += wait(checkpointer)
    show(title, policy, seconds, repeats)
    print(f"  the thread itself uses {beside / (repeats + 1) * 1e3:.1f} ms of CPU per checkpoint")
    checkpointer.close()


def show(title: str, policy: Policy, seconds: dict[str, list[float]], repeats: int) -> None:
    parameters = sum(p.numel() for p in policy.model.parameters())
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    bare = next(iter(medians.values()))
    print(f"\n{title}, {parameters:,} parameters ({repeats} repeats)")
    for name, median in medians.items():
        added = f"{(median - bare) * 1e3:+8.1f} ms"
        print(f"  {name:42} {median * 1e3:8.1f} ms a round  {median / bare:5.2f}x  {added}")


def make_checkpointer(folder: Path) -> Checkpointer:
    store = Store(str(folder / "root"))
    create_experiment_folder(ExperimentStore(store, PATHS))
    store.create(PATHS.experiment_json, b"{}")
    store.attach(PATHS.experiment_json)
    config = CheckpointConfig(every=1, store_every_s=1e9)
    callbacks = CheckpointCallbacks(on_problem=print)
    return Checkpointer(folder / "here", ExperimentStore(store, PATHS), config, callbacks)


def state_of(node: Node) -> NodeState:
    return NodeState(
        node=node.id, incarnation=node.incarnation, step=node.step, local=4, external=4, learning_rate=1e-3
    )


def write_blocking(own: LocalCheckpoints, node: Node) -> None:
    taken = snapshot(node.policy)
    own.write(
        node.step,
        node.incarnation,
        {
            "weights.safetensors": lambda path: save_tensors(taken.weights, path),
            "optimizer.safetensors": lambda path: save_tensors(taken.optimizer, path),
            "state.json": state_of(node).encode(),
        },
    )
    own.prune(2, 1)


def write_torch(path: Path, node: Node) -> None:
    with path.open("wb") as file:
        torch.save([node.policy.model.state_dict(), node.policy.optimizer.state_dict()], file)
        file.flush()
        os.fsync(file.fileno())


def wait(checkpointer: Checkpointer) -> float:
    """Let the thread end what it has; its CPU seconds."""
    thread = checkpointer._thread  # noqa: SLF001 - a user never needs to wait for it
    thread.wait_idle(60.0)
    return thread.take_cpu_s()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
