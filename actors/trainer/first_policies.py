"""The policies that a trainer's nodes begin with, before a checkpoint is given to them."""

from __future__ import annotations

import torch

from actors.trainer.settings import TrainerSettings
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.policies.loading import load_policies
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.tiny.loading import TinyStart
from swarm_ray.policies.tiny.starts import start_index
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Verifier


def first_policies(settings: TrainerSettings, tasks: TaskSet, verifier: Verifier) -> list[Policy]:
    """A policy for each node: the embedded model's start, or copies of a Hugging Face model.

    Raises:
        ModelError: the model cannot be loaded, or does not fit so often.
    """
    config = settings.config
    if not config.policy.is_tiny:
        return load_policies(config, len(settings.nodes))
    start = TinyStart(config, tasks, verifier, settings.cache, lambda *_: None)
    return [start.policy(start_index(node)) for node in settings.nodes]


def describe_policy(policy: Policy, config: SwarmConfig) -> str:
    """What a figure of a node with this policy was made on."""
    name = torch.cuda.get_device_name(policy.device) if policy.device.type == "cuda" else "cpu"
    parameters = sum(p.numel() for p in policy.model.parameters())
    return (
        f"{config.policy.model}, {parameters:,} parameters on {name}, {config.policy.dtype}, "
        f"{policy.layout.value} rows, {torch.get_num_threads()} thread(s), seed {config.seed}"
    )
