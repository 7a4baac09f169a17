"""Running swarms from Python or the command: simulate, coordinate, work."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from drive_store import Store, newest, require_id
from swarm_ray.config import SwarmConfig
from swarm_ray.display import Display, choose_display
from swarm_ray.errors import UserError
from swarm_ray.exchange.swarm_state import ENDED, decode_state
from swarm_ray.experiment_folder import ExperimentAddress, create_experiment, read_config, read_identity
from swarm_ray.experiments import Comparison, compare_experiments
from swarm_ray.policies.devices import choose_device
from swarm_ray.policies.preflight import preflight
from swarm_ray.policies.tiny_start import TinyStart, cache_folder, start_index
from swarm_ray.ray_instance import RayInstance
from swarm_ray.settings import join_config
from swarm_ray.swarm import Swarm, new_claimant
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Scorer
from swarm_ray.versions import installed_versions

DONE, FAILED, LEARNED_NOTHING, INTERRUPTED = 0, 1, 3, 130


@dataclass(frozen=True)
class Run:
    """How a run ended, and where its results are."""

    root: str
    experiments: tuple[str, ...]
    """The swarm, and its baseline where there is one."""
    exit_code: int
    """0 done, 1 a node or actor failed, 3 learned nothing, 130 interrupted."""
    message: str
    """One line on how it ended."""

    def results(self) -> list[Comparison]:
        """Rewards, pass@1, tokens and seconds of each experiment."""
        return compare_experiments(self.root, list(self.experiments))


class Running:
    """Swarms that share this machine, from their start to their end; stopping twice is harmless.

    Args:
        swarms: not started yet.
        ray: where they run; closed when they have ended.
        display: where progress is shown.
    """

    def __init__(self, swarms: Sequence[Swarm], ray: RayInstance, display: Display) -> None:
        self._swarms, self._ray, self._display = swarms, ray, display
        self._interrupted = False

    def start(self) -> None:
        """Start every actor, once Ray is there."""
        self._ray.wait()
        for swarm in self._swarms:
            swarm.start()

    def wait(self) -> None:
        """Watch and show until every swarm has ended; an interrupt ends them."""
        try:
            while not all([swarm.watch(0.25) for swarm in self._swarms]):
                self.show()
        except KeyboardInterrupt:
            self._interrupted = True
            self._display.step("interrupted: ending the swarm and writing what there is")
        finally:
            self.stop()

    def show(self) -> None:
        """Show how things stand."""
        self._display.show([swarm.progress() for swarm in self._swarms])

    def stop(self) -> None:
        """End every swarm, and the Ray that was started for them."""
        for swarm in self._swarms:
            swarm.stop()
        self._ray.close()
        self._display.show([swarm.progress() for swarm in self._swarms])

    def verdict(self) -> tuple[int, str]:
        """Exit status and one line, the worst of all swarms."""
        if self._interrupted:
            return INTERRUPTED, "interrupted; what was published and logged is whole"
        return max((_verdict(swarm) for swarm in self._swarms), key=lambda v: _SEVERITY.index(v[0]))

    def __enter__(self) -> Self:
        """Start."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()


_SEVERITY = (DONE, LEARNED_NOTHING, INTERRUPTED, FAILED)


def _verdict(swarm: Swarm) -> tuple[int, str]:
    """What the state log says of the experiment, and what this machine saw."""
    name = swarm.address.experiment
    if isinstance(swarm.failure, UserError):
        raise swarm.failure
    if swarm.failure is not None:
        return FAILED, f"{name} failed: {swarm.failure}"
    store = Store(swarm.address.root)
    found = newest(store, swarm.address.paths)
    record = decode_state(found) if found else None
    problems = {n: p for result in swarm.results for n, p in result.problems.items()}
    if record is not None:
        problems |= {node: tally.problem for node, tally in record.tallies.items() if tally.problem}
    if problems:
        return FAILED, f"{name}: " + "; ".join(f"node {n} failed: {p}" for n, p in sorted(problems.items()))
    if record is not None and record.state in {"failed", "stopped"}:
        code = FAILED if record.state == "failed" else INTERRUPTED
        return code, f"{name} is {record.state}: {record.note}"
    if record is not None and record.learned_nothing:
        return LEARNED_NOTHING, (
            f"{name} LEARNED NOTHING: in its last {swarm.config.alarm_rounds} rounds no group of any node had an "
            "advantage. Use easier questions, more completions, or a model that is sometimes right."
        )
    return DONE, f"{name} is done"


def simulate(
    config: SwarmConfig,
    root: str = "runs",
    experiment: str | None = None,
    *,
    baseline: bool = False,
    overwrite: bool = False,
    show: bool = True,
) -> Run:
    """Run a whole swarm on this machine, and beside it, if asked for, the same swarm without sharing.

    Args:
        config: the swarm; `pace.expect` is set to its number of nodes.
        root: the shared folder.
        experiment: its name; by default the preset with the time.
        baseline: also run I + J local and no external rollouts, under the name with `-alone`.
        overwrite: delete experiments of these names first.
        show: show progress.

    Raises:
        UserError: the experiment exists, the model cannot be loaded or does not fit, and the like.
    """
    name = experiment or f"{config.preset}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    pace = config.pace.model_copy(update={"expect": config.nodes, "min_nodes": 1})
    config = config.model_copy(update={"pace": pace})
    pairs = [(name, config)]
    if baseline:
        alone = {"local": config.local + config.external, "external": 0}
        pairs.append((f"{name}-alone", config.model_copy(update=alone)))
    nodes = [f"node-{i}" for i in range(config.nodes)]
    with choose_display(show=show) as display, closing(RayInstance()) as ray:
        display.step("preparing the model")
        prepare_model(config, nodes, None, display.step)
        swarms = []
        for experiment_name, its_config in pairs:
            address, claimant = _create(root, experiment_name, its_config, overwrite=overwrite)
            swarms.append(
                Swarm(address, its_config, nodes, claimant=claimant, worker="here", sharers=len(pairs))
            )
        return _run(swarms, ray, display, root)


def coordinate(
    config: SwarmConfig, root: str, experiment: str, *, overwrite: bool = False, show: bool = True
) -> Run:
    """Create an experiment and coordinate it until it has ended; the nodes are other machines'.

    Raises:
        UserError: the experiment exists, and the like.
    """
    with choose_display(show=show) as display, closing(RayInstance()) as ray:
        address, claimant = _create(root, experiment, config, overwrite=overwrite)
        swarm = Swarm(address, config, (), claimant=claimant, worker="coordinator")
        return _run([swarm], ray, display, root)


def work(
    root: str,
    experiment: str,
    node: str,
    nodes: int = 1,
    overrides: Sequence[str] = (),
    *,
    show: bool = True,
) -> Run:
    """Train `nodes` nodes of an experiment that another machine coordinates, until it has ended.

    The configuration comes from the folder; `overrides` may change what each machine has its own of. An experiment
    that is not there yet is waited for.

    Raises:
        UserError: the node id is taken, the experiment has ended, an override differs from the swarm's, and the like.
    """
    require_id(node, "node")
    address = ExperimentAddress(root, experiment)
    ids = [node] if nodes == 1 else [f"{node}-{i}" for i in range(nodes)]
    with choose_display(show=show) as display:
        stored = _wait_for(address, display)
        config = join_config(stored, [*overrides, f"nodes={nodes}"])
        _check_joinable(address, ids)
        allowed = tuple(_named_modules(overrides))
        with closing(RayInstance()) as ray:
            prepare_model(config, ids, allowed, display.step)
            swarm = Swarm(address, config, ids, claimant=None, worker=node, allowed_modules=allowed)
            return _run([swarm], ray, display, root)


def prepare_model(
    config: SwarmConfig,
    nodes: Sequence[str],
    allowed_modules: tuple[str, ...] | None,
    report: Callable[[str, float], None],
) -> None:
    """Make the embedded model's starts, or check that a Hugging Face model exists and fits, before any actor runs.

    Raises:
        UserError: a task, model or device that is not to be had.
    """
    if not config.policy.is_tiny:
        preflight(config, len(nodes), choose_device(config.policy.device))
        return
    tasks = TaskSet(config.tasks, allowed_modules=allowed_modules)
    with Scorer(config.tasks, allowed_modules=allowed_modules) as verifier:
        start = TinyStart(config, tasks, verifier, cache_folder(), report)
        start.prepare([start_index(node) for node in nodes])


def _create(
    root: str, experiment: str, config: SwarmConfig, *, overwrite: bool
) -> tuple[ExperimentAddress, str]:
    address, claimant = ExperimentAddress(root, experiment), new_claimant()
    create_experiment(
        address,
        config,
        claimant=claimant,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=installed_versions(),
        machine=platform.platform(),
        overwrite=overwrite,
    )
    return address, claimant


def _run(swarms: Sequence[Swarm], ray: RayInstance, display: Display, root: str) -> Run:
    display.step("starting Ray and the actors")
    running = Running(swarms, ray, display)
    with running:
        running.wait()
    code, message = running.verdict()
    return Run(root, tuple(s.address.experiment for s in swarms), code, message)


def _wait_for(address: ExperimentAddress, display: Display) -> SwarmConfig:
    """The experiment's configuration, as soon as there is one."""
    store = Store(address.root)
    while read_identity(store, address) is None:
        display.step(f"waiting for experiment {address.experiment!r} in {address.root}: no coordinator has made it yet")
        time.sleep(0.5)
    return read_config(store, address)


def _check_joinable(address: ExperimentAddress, nodes: Sequence[str]) -> None:
    """Refuse an experiment that is over, and a node id that somebody else has."""
    found = newest(Store(address.root), address.paths)
    record = decode_state(found) if found else None
    if record is None:
        return
    if record.state in (*ENDED, "draining"):
        raise UserError(f"experiment {address.experiment!r} is {record.state}; nothing is left to train")
    taken = sorted(set(nodes) & set(record.tallies))
    if taken:
        raise UserError(
            f"node {taken[0]} is registered in {address.experiment!r} already: give another --node name"
        )


def _named_modules(overrides: Sequence[str]) -> list[str]:
    """Modules that this command line itself names in `tasks.modules=[...]`."""
    import yaml

    named = [o.partition("=")[2] for o in overrides if o.startswith("tasks.modules=")]
    return [m for text in named for m in (yaml.safe_load(text) or [])]



