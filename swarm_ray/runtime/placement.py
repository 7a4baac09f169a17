"""Where actors go when Ray has several machines: how many trainers, and what share each asks for. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Machine:
    """One machine of a Ray."""

    ray_id: str
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Share:
    """What one trainer asks of Ray."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        """`1 CPU and 0.5 GPU`."""
        return f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")


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


def threads_of(places: Sequence[str], machines: Sequence[Machine], sharers: int) -> list[int]:
    """CPU threads of each trainer: its machine's CPUs, divided among the trainers there.

    Args:
        places: the machine of each trainer.
        machines: that Ray has.
        sharers: how many workers like this one there are.
    """
    cpus = {m.ray_id: m.cpus for m in machines}
    lodgers = Counter(places)
    return [max(1, int(cpus[place]) // (lodgers[place] * sharers)) for place in places]
