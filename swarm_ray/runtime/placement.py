"""Placement: the trainers of a worker, their nodes, their share of Ray's resources, and their machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from swarm_ray.machine import ray_actors
from swarm_ray.machine.ray_actors import NOTHING, Machine, PlacementGroup, Share
from swarm_ray.machine.ray_instance import STARTED_WITHIN_S


@dataclass(frozen=True)
class TrainerPlacement:
    """The trainers of a worker."""

    hosted: tuple[tuple[str, ...], ...] = ()
    """Node ids of each."""
    share: Share = NOTHING
    threads: tuple[int, ...] = ()
    group: PlacementGroup | None = None
    """Where they go; None on a single machine."""

    def nodes_of(self, role: str) -> tuple[str, ...]:
        """Nodes that the actor `role` hosts; only trainers host any."""
        return self.hosted[int(role.rpartition("-")[2])] if role.startswith("trainer-") else ()

    @property
    def roles(self) -> tuple[str, ...]:
        """`trainer-0` and so on."""
        return tuple(f"trainer-{number}" for number in range(len(self.hosted)))


def place_trainers(
    wanted: int | Literal["auto"], device: str, nodes: tuple[str, ...], sharers: int
) -> TrainerPlacement:
    """The trainers for `nodes`, with their exact share of the machines that Ray has.

    Args:
        wanted: how many, as `trainers` of the configuration says.
        device: `policy.device`.
        nodes: to host.
        sharers: how many workers like this one share the machines at the same time.

    Raises:
        MissingResource: the machines have too few free resources.
    """
    machines = ray_actors.machines()
    cuda = device != "cpu" and any(m.gpus for m in machines)
    count = trainer_count(wanted, len(nodes), machines, cuda=cuda)
    share = share_of(count, machines, sharers, cuda=cuda)
    group = PlacementGroup(share, count, STARTED_WITHIN_S) if len(machines) > 1 else None
    found = group.machines() if group else [machines[0].ray_id] * count
    hosted = tuple(nodes[number::count] for number in range(count))
    return TrainerPlacement(hosted, share, tuple(threads_of(found, machines, sharers)), group)


def trainer_count(
    wanted: int | Literal["auto"], nodes: int, machines: Sequence[Machine], *, cuda: bool
) -> int:
    """How many trainers host `nodes` nodes.

    Args:
        wanted: what the configuration says; `auto` is one on a single machine, else one a device.
        nodes: of the swarm, on this worker.
        machines: that Ray has.
        cuda: whether GPUs are used.
    """
    if wanted != "auto":
        return min(wanted, nodes)
    if len(machines) == 1:
        return 1
    devices = sum(int(m.gpus) for m in machines) if cuda else sum(m.cpus > 0 for m in machines)
    return max(1, min(nodes, devices))


def share_of(count: int, machines: Sequence[Machine], sharers: int, *, cuda: bool) -> Share:
    """The exact share of one of `count` trainers, where `sharers` workers want as much each."""
    shares = count * sharers
    cpus, gpus = sum(m.cpus for m in machines), sum(m.gpus for m in machines)
    return Share(min(1.0, cpus / shares), min(1.0, gpus / shares) if cuda else 0.0)


def threads_of(hosts: Sequence[str], machines: Sequence[Machine], sharers: int) -> list[int]:
    """CPU threads of each trainer: its machine's CPUs, divided among the trainers there.

    Args:
        hosts: the machine of each trainer.
        machines: that Ray has.
        sharers: how many workers like this one there are.
    """
    cpus = {m.ray_id: m.cpus for m in machines}
    trainers = Counter(hosts)
    return [max(1, int(cpus[host]) // (trainers[host] * sharers)) for host in hosts]
