"""A folder, nodes with small policies, and a clock that stands still until it is moved."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from spool_for_tests import Clock

from drive_store import ExperimentPaths, ExperimentStore, StateRef, Store, create_experiment_folder
from swarm_ray.checkpointing.node_state import NodeState, fingerprint
from swarm_ray.checkpointing.writer import CheckpointCallbacks, Checkpointer
from swarm_ray.config.schema import CheckpointConfig, GrpoConfig, SwarmConfig
from swarm_ray.policies.logprobs import Layout, TokenGroup
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.tiny.loading import tiny_language
from swarm_ray.policies.tiny.model import build_tokenizer
from swarm_ray.policies.transformers_models import llama
from swarm_ray.records.nodes import NodeTotals
from swarm_ray.records.rollouts import StepCounters
from swarm_ray.sapo.grpo import grpo_loss
from swarm_ray.sapo.node import Node

LOSS = grpo_loss(GrpoConfig())

PATHS = ExperimentPaths("tea")
A, B = "0123abcd", "89abcdef"
CONFIG = SwarmConfig()
GROUPS = [TokenGroup((5, 9, 17), ((6, 7, 3), (90, 3), (12, 13)), (1.2, -0.7, -0.5))]
WITHIN_S = 60.0


def make_store(root: Path) -> Store:
    store = Store(str(root))
    create_experiment_folder(ExperimentStore(store, PATHS))
    store.create(PATHS.experiment_json, b"{}")
    store.attach(PATHS.experiment_json)
    return store


def small_policy(seed: int, hidden: int = 32) -> Policy:
    tokenizer = build_tokenizer(["what is 1 plus 2?"])
    torch.manual_seed(seed)
    sizes = {"hidden_size": hidden, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = llama(
        vocab_size=len(tokenizer), num_key_value_heads=2, pad_token_id=tokenizer.pad_token_id, **sizes
    )
    language = replace(tiny_language(model, tokenizer), banned_ids=())
    return Policy(language, CONFIG.policy, CONFIG.grpo, torch.device("cpu"), Layout.PACKED)


def small_node(name: str = "node-0", incarnation: str = A, seed: int = 0) -> Node:
    return Node(name, incarnation, small_policy(seed))


def train(node: Node, steps: int = 1) -> None:
    for _ in range(steps):
        node.policy.update(GROUPS, LOSS)
        node.step += 1
        node.totals.reward += 0.5


def state_of(node: Node, **changes: object) -> NodeState:
    held = {"node": node.id, "incarnation": node.incarnation, "step": node.step, "round": node.step - 1}
    held |= {"local": 4, "external": 4, "learning_rate": 0.1 + 0.2, "reward": node.step / 7}
    held |= {"state_ref": StateRef(1, node.step, "coordinator", "0" * 64)}
    held |= {
        "totals": NodeTotals(reward=node.totals.reward),
        "model": fingerprint(CONFIG.policy, node.policy),
    }
    held |= {"previous": StepCounters(used=3, rejected={"late": 1})}
    return NodeState(**held | changes)


def everything(policy: Policy) -> dict[str, torch.Tensor]:
    """All tensors that decide what comes next."""
    found = {f"model.{k}": v.clone() for k, v in policy.model.state_dict().items()}
    for index, state in policy.optimizer.state_dict()["state"].items():
        found |= {f"adam.{index}.{key}": value.clone() for key, value in state.items()}
    return found


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype, name
        assert torch.equal(tensor, other[name]), name


class Trial:
    """A checkpointer with what it told."""

    def __init__(self, folder: Path, store: Store, **config: object) -> None:
        self.clock = Clock()
        self.problems: list[tuple[str, str]] = []
        self.saved: list[tuple[str, int]] = []
        self.folder, self.store = folder, store
        self.experiment = ExperimentStore(store, PATHS)
        callbacks = CheckpointCallbacks(
            on_problem=lambda node, text: self.problems.append((node, text)),
            on_written=lambda state, _: self.saved.append((state.node, state.step)),
        )
        asked = CheckpointConfig.model_validate({"every": 1, **config})
        self.checkpointer = Checkpointer(folder, self.experiment, asked, callbacks, clock=self.clock)

    def round(self, *nodes: Node) -> bool:
        """A round's end, and all that the threads do after it."""
        taken = self.checkpointer.after_round(nodes, state_of)
        assert self.checkpointer._thread.wait_idle(WITHIN_S)
        assert self.checkpointer._uploads.thread.wait_idle(WITHIN_S)
        return taken

    def flush(self, *nodes: Node, **options: object) -> list[str]:
        return self.checkpointer.flush(nodes, state_of, **{"within_s": WITHIN_S, **options})


def notify(trial: Trial, saved: Callable[[str, int], object]) -> None:
    """Call `saved` with node and step from now on when a checkpoint is safe on this machine's disk."""
    callbacks = trial.checkpointer._callbacks
    told = replace(callbacks, on_written=lambda state, _: saved(state.node, state.step) and None)
    trial.checkpointer._callbacks = told
