"""Actors on the Ray in use: started and ended, placed on its machines, and their answers. The typed door to Ray."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.placement_group import (
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import (
    NodeAffinitySchedulingStrategy,
    PlacementGroupSchedulingStrategy,
)

from swarm_ray.errors import ActorFailure, MissingResource, UserError
from swarm_ray.machine.actor_errors import died, raised_in_call


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


NOTHING = Share(0.0, 0.0)
INHERITED = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
"""Environment variables of all actors."""


def pack(thing: object) -> bytes:
    """Something that can be called, as bytes for an actor: a function of a notebook's or a script's own, too.

    Raises:
        UserError: it cannot travel to another process.
    """
    try:
        return bytes(ray.cloudpickle.dumps(thing))  # type: ignore[no-untyped-call]
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise UserError(
            f"{type(thing).__name__} cannot travel to another process: {error}; make what cannot travel (models, open "
            "files, locks) inside of it"
        ) from error


def finished(calls: Sequence[Any], timeout_s: float) -> list[Any]:
    """Those of `calls` that have ended, after at most `timeout_s` seconds; without any, after all of these."""
    if calls:
        return list(ray.wait(list(calls), num_returns=1, timeout=timeout_s)[0])
    time.sleep(timeout_s)
    return []


def result_of(call: Any, timeout_s: float) -> Any:
    """The result of a call on an actor.

    Raises:
        ActorFailure: the actor died or did not answer.
        Exception: what the actor raised, as itself where it is one of ours.
    """
    try:
        return ray.get(call, timeout=timeout_s)
    except GetTimeoutError as error:
        raise ActorFailure(f"an actor did not answer within {timeout_s:.0f} s") from error
    except RayTaskError as error:
        raise raised_in_call(error.cause) from error
    except RayError as error:
        raise died(str(error)) from error


def kill(handle: Any) -> None:
    """End an actor's process; one that is gone already is fine, and so is a Ray that has gone."""
    if ray.is_initialized():
        ray.kill(handle, no_restart=True)


def machines() -> list[Machine]:
    """The machines that this Ray has; the driver's own is the first."""
    here = own_machine()
    found = [
        Machine(n["NodeID"], float(n["Resources"].get("CPU", 0)), float(n["Resources"].get("GPU", 0)))
        for n in ray.nodes()  # type: ignore[no-untyped-call]
        if n["Alive"]
    ]
    return sorted(found, key=lambda m: (m.ray_id != here, m.ray_id))


def own_machine() -> str:
    """Ray's id of the machine that this process is on."""
    return str(ray.get_runtime_context().get_node_id())


def metrics_address() -> str:
    """Host and port at which the Ray in use exports this machine's figures for Prometheus."""
    here = own_machine()
    port = next(n["MetricsExportPort"] for n in ray.nodes() if n["NodeID"] == here)  # type: ignore[no-untyped-call]
    return f"127.0.0.1:{port}"


def beside_driver() -> Any:
    """The place for an actor whose files lie on the driver's machine."""
    return NodeAffinitySchedulingStrategy(own_machine(), soft=False)


class PlacementGroup:
    """Places for trainers on different machines, held until `release`.

    Args:
        share: of each trainer.
        count: of trainers.
        within_s: how long to wait for them.

    Raises:
        MissingResource: this Ray does not have that much free.
    """

    def __init__(self, share: Share, count: int, within_s: float) -> None:
        asked = {"CPU": share.cpus} | ({"GPU": share.gpus} if share.gpus else {})
        self._group = placement_group([dict(asked) for _ in range(count)], strategy="SPREAD")
        if not self._group.wait(within_s):
            self.release()
            raise missing(f"{count} trainer(s)", share, within_s)

    def machines(self) -> list[str]:
        """The machine of each place, by Ray's id."""
        table = placement_group_table(self._group)["bundles_to_node_id"]
        return [str(table[number]) for number in sorted(table)]

    def bundle(self, number: int) -> Any:
        """The place of the `number`-th trainer."""
        return PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=number)

    def release(self) -> None:
        """Give the places back; harmless when repeated."""
        if ray.is_initialized():
            remove_placement_group(self._group)


def not_up(who: str, share: Share, within_s: float) -> ActorFailure:
    """The error for an actor that did not come up in time: whether it waits for its place, or is slow to begin."""
    process = _making(who)
    if process is None:
        return missing(who, share, within_s)
    return ActorFailure(
        f"{who} has its place on this machine, and has not come up within {within_s:g} s: its process {process.pid} is "
        f"loading and checking what it needs, and has had {sum(process.cpu_times()[:2]):.0f} s of CPU time; "
        f"{os.cpu_count()} CPU(s) had {os.getloadavg()[0]:.1f} processes to run in the last minute. End what else runs "
        "here, or wait for a model that is being downloaded, and start again"
    )


def _making(who: str) -> psutil.Process | None:
    """The process in which this Ray makes an actor on this machine: Ray names it after the actor and its call."""
    sockets = [str(node["RayletSocketName"]) for node in ray.nodes()]  # type: ignore[no-untyped-call]
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            title = "".join(process.cmdline()[:1])
            parent = process.parent()
            if title.startswith(f"ray::{who}/") and title.endswith(".__init__") and parent is not None:
                raylet = " ".join(parent.cmdline())
                if any(socket in raylet for socket in sockets):
                    return process
    return None


def missing(who: str, share: Share, within_s: float) -> ActorFailure:
    """The error for an actor that did not come up in time: what it asked for, what there is and who has it."""
    total = ray.cluster_resources()  # type: ignore[no-untyped-call]
    free = ray.available_resources()  # type: ignore[no-untyped-call]
    found = ", ".join(f"{free.get(k, 0):g} of {total.get(k, 0):g} {k}" for k in ("CPU", "GPU"))
    named = ray.util.list_named_actors(all_namespaces=True)
    holders = ", ".join(sorted(f"{a['name']} ({a['namespace']})" for a in named)) or "actors without a name"
    return MissingResource(
        f"{who} did not start within {within_s:g} s: each asks for {share}, and free on this Ray are {found}; "
        f"at work there: {holders}. Use fewer trainers, or end what else runs there."
    )
