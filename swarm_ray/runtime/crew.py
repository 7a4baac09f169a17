"""The trainers of a worker: how many, which nodes each hosts, what each asks of Ray, and where they go."""

from __future__ import annotations

from dataclasses import dataclass

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.machine import ray_instance
from swarm_ray.machine.ray_instance import Places
from swarm_ray.runtime.placement import Share, share_of, threads_of, trainer_count


@dataclass(frozen=True)
class Crew:
    """The trainers of a worker."""

    hosted: tuple[tuple[str, ...], ...]
    """Node ids of each."""
    share: Share
    threads: tuple[int, ...]
    places: Places | None
    """Where they go; None on a single machine."""

    def nodes_of(self, role: str) -> tuple[str, ...]:
        """Nodes that the actor `role` hosts: a trainer's, and none of others."""
        return self.hosted[int(role.rpartition("-")[2])] if role.startswith("trainer-") else ()

    @property
    def roles(self) -> tuple[str, ...]:
        """`trainer-0` and so on."""
        return tuple(f"trainer-{number}" for number in range(len(self.hosted)))


NOBODY = Crew((), ray_instance.NOTHING, (), None)


def plan_crew(config: SwarmConfig, nodes: tuple[str, ...], sharers: int, within_s: float) -> Crew:
    """The trainers for `nodes`, with their exact share of the machines that Ray has.

    Args:
        config: says how many, and on what device.
        nodes: to host.
        sharers: how many workers like this one share the machines at the same time.
        within_s: how long to wait for places on several machines.

    Raises:
        MissingResource: several machines have no place for them.
    """
    machines = ray_instance.machines()
    cuda = config.policy.device != "cpu" and any(m.gpus for m in machines)
    count = trainer_count(config.trainers, len(nodes), machines, cuda=cuda)
    share = share_of(count, machines, sharers, cuda=cuda)
    places = Places(share, count, within_s) if len(machines) > 1 else None
    found = places.machines() if places else [machines[0].ray_id] * count
    hosted = tuple(nodes[number::count] for number in range(count))
    return Crew(hosted, share, tuple(threads_of(found, machines, sharers)), places)
