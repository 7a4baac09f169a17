"""How many runs of a sweep may share this machine: its cores, its memory and its devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.machine import ray_actors
from swarm_ray.policies.preflight import choose_device, free_memory, preflight

PROCESSES_BYTES = 1_500_000_000
"""Host memory set aside for one run's actors and its scoring process, beside their models: 0.75 GB were measured with
the embedded model on a CPU, and PyTorch with CUDA takes more."""


@dataclass(frozen=True)
class Room:
    """What there is, and what the largest run of the sweep takes of it."""

    cpus: float
    """Cores that Ray has."""
    trainers: int
    """Of one run; each keeps a core busy."""
    host_bytes: int
    """Free memory of this machine."""
    device_bytes: int | None
    """Free memory of the device; None where policies live in the host's memory."""
    policies_bytes: int
    """What one run's policies take, of the device's memory or else of the host's; 0 for the embedded model."""

    def at_once(self, runs: int) -> int:
        """How many of `runs` fit side by side, one at least."""
        host = PROCESSES_BYTES + (self.policies_bytes if self.device_bytes is None else 0)
        fitting = [runs, int(self.cpus // self.trainers), self.host_bytes // host]
        if self.device_bytes is not None and self.policies_bytes:
            fitting.append(self.device_bytes // self.policies_bytes)
        return max(1, min(fitting))


def runs_at_once(configs: Sequence[SwarmConfig]) -> int:
    """How many runs with these configurations fit at once; Ray is there.

    Raises:
        UserError: a device or model that is not to be had, or a run that does not fit by itself.
    """
    device = choose_device(configs[0].policy.device)
    cuda = device.type != "cpu"
    room = Room(
        cpus=sum(machine.cpus for machine in ray_actors.machines()),
        trainers=max(1 if c.trainers == "auto" else c.trainers for c in configs),
        host_bytes=int(psutil.virtual_memory().available),
        device_bytes=free_memory(device) if cuda else None,
        policies_bytes=max(_policies_bytes(config) for config in configs),
    )
    return room.at_once(len(configs))


def _policies_bytes(config: SwarmConfig) -> int:
    if config.policy.is_tiny:
        return 0
    return preflight(config, config.nodes, choose_device(config.policy.device)).total(config.nodes)
