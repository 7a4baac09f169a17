"""The handle of the workers on this machine: wait, watch, stop, read results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from drive_store import ExperimentStore, Store, newest
from swarm_ray.errors import UserError
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.experiments import Comparison, compare_experiments
from swarm_ray.experiments.manage.in_use import hold_for_run
from swarm_ray.machine.local_disk import Lock
from swarm_ray.machine.ray_instance import RayInstance, dashboard_address
from swarm_ray.observe.diagnosis import without_advantage
from swarm_ray.observe.display import Display, choose_display
from swarm_ray.observe.snapshot import ExperimentSnapshot
from swarm_ray.records.state import ExperimentState
from swarm_ray.runtime.worker import Worker
from swarm_ray.tracking.factory import require_ray_default

DONE, FAILED, LEARNED_NOTHING, INTERRUPTED = 0, 1, 3, 130
_SEVERITY = (DONE, LEARNED_NOTHING, INTERRUPTED, FAILED)
Disconnected = Callable[[str], object]
"""Called with the reason whenever the shared folder goes out of reach, in the waiting thread; may remount it."""
Prepare = Callable[[Display, RayInstance], Sequence[Worker]]
"""Makes the workers; reports its steps on the display, and starts Ray once user errors are ruled out."""


class Running:
    """Workers that share this machine, from their start to their end; stopping twice is harmless.

    Args:
        root: the shared folder.
        experiments: the swarm's, and its baseline's where there is one.
        prepare: makes the workers; none for a finished experiment.
        show: show progress.
        on_disconnect: what to do when the shared folder goes out of reach; training continues meanwhile.
        dashboard: serve Ray's dashboard on this machine, where Ray is started here.

    Raises:
        UserError: the dashboard's packages are not installed.
    """

    def __init__(
        self,
        root: str,
        experiments: tuple[str, ...],
        prepare: Prepare,
        *,
        show: bool,
        on_disconnect: Disconnected | None = None,
        dashboard: bool = False,
    ) -> None:
        if dashboard:
            require_ray_default("the dashboard")
        self.root, self.experiments = root, experiments
        self._on_disconnect, self._unreachable = on_disconnect, ""
        self._resumed: set[str] = set()
        self._prepare, self._ray = prepare, RayInstance(dashboard=dashboard)
        self._display = choose_display(show=show)
        self._workers: tuple[Worker, ...] = ()
        self._locks: list[Lock] = []
        self._interrupted = self._stopped = False
        self._verdict: tuple[int, str] | None = None

    def start(self) -> Self:
        """Prepare, and start every actor once Ray is there.

        Raises:
            UserError: the request cannot be carried out.
            SwarmError: Ray or an actor does not start; no process is left running.
        """
        try:
            self._workers = tuple(self._prepare(self._display, self._ray))
            if not self._workers:
                return self
            self._locks = [hold_for_run(worker.address) for worker in self._workers]
            self._display.step("starting Ray and the actors")
            self._ray.wait()
            for worker in self._workers:
                worker.start(self._ray)
            if address := dashboard_address():
                self._workers[0].tell(f"dashboard: http://{address}")
        except BaseException:
            self.stop()
            raise
        return self

    def wait(self) -> Self:
        """Watch and show until every worker has ended; an interrupt ends them cleanly.

        Raises:
            UserError: a user error that only an actor could detect.
        """
        try:
            while [worker for worker in self._workers if not worker.watch(0.25)]:
                swarms = self.progress()
                self._display.show(swarms)
                self._tell_disconnected(swarms)
                self._tell_resumed()
        except KeyboardInterrupt:
            self._interrupted = True
            self._display.step("interrupted: stopping the swarm and writing its logs")
        finally:
            self.stop()
        self._verdict = self._judge()
        return self

    def progress(self) -> list[ExperimentSnapshot]:
        """The current snapshot of each experiment."""
        return [worker.progress() for worker in self._workers]

    def stop(self) -> None:
        """Stop every actor, and Ray if it was started for them; published files and logs stay complete."""
        if self._stopped:
            return
        self._stopped = True
        for worker in self._workers:
            worker.stop()
        if self._workers:
            self._display.show(self.progress())
        self._display.close()
        self._ray.close()
        for lock in self._locks:
            lock.release()

    def _tell_disconnected(self, swarms: Sequence[ExperimentSnapshot]) -> None:
        reason = next((swarm.unreachable for swarm in swarms if swarm.unreachable), "")
        if reason and not self._unreachable and self._on_disconnect is not None:
            self._on_disconnect(reason)
        self._unreachable = reason

    def _tell_resumed(self) -> None:
        """Print what each node that resumed here recovered, once."""
        for worker in self._workers:
            for node, text in sorted(worker.resumed.items()):
                line = f"{worker.address.experiment}, {node}: {text}"
                if line not in self._resumed:
                    self._resumed.add(line)
                    self._display.tell(line)

    @property
    def exit_code(self) -> int:
        """0 done, 1 a node or actor failed, 3 learned nothing, 130 interrupted."""
        return self._judged()[0]

    @property
    def message(self) -> str:
        """One line on how it ended."""
        return self._judged()[1]

    def results(self, problems: list[str] | None = None) -> list[Comparison]:
        """Rewards, pass@1, tokens and seconds of each experiment, from the folder; see `compare_experiments`."""
        return compare_experiments(self.root, list(self.experiments), problems)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def _judged(self) -> tuple[int, str]:
        if self._verdict is None:
            self._verdict = self._judge()
        return self._verdict

    def _judge(self) -> tuple[int, str]:
        """Exit status and one line: the worst of all workers."""
        if self._interrupted:
            return INTERRUPTED, "interrupted; published files and logs are complete"
        if not self._workers:
            name = self.experiments[0]
            return DONE, f"{name} is finished already; request more rounds to continue it, such as rounds=200"
        swarm, *baseline = [_verdict(worker) for worker in self._workers]
        # A baseline that learned nothing is a result, not a failure.
        worse = [v for v in baseline if v[0] not in {DONE, LEARNED_NOTHING}]
        worst = max([swarm, *worse], key=lambda v: _SEVERITY.index(v[0]))
        left = [line for worker in self._workers for result in worker.results for line in result.left]
        return worst if not left else (worst[0], f"{worst[1]}; not in the folder: {'; '.join(left)}")


def _verdict(worker: Worker) -> tuple[int, str]:
    """The exit status from the state log, and from what this machine saw."""
    name = worker.address.experiment
    if isinstance(worker.failure, UserError):
        raise worker.failure
    if worker.state == "superseded":
        return (
            FAILED,
            f"{name} is coordinated elsewhere now; this coordinator was considered dead, and has ended",
        )
    if worker.failure is not None:
        return FAILED, f"{name} failed: {worker.failure}"
    found = newest(ExperimentStore(Store(worker.address.root), worker.address.paths))
    record = decode_state(found) if found else None
    problems = {n: p for result in worker.results for n, p in result.problems.items()}
    if record is not None:
        problems |= {node: tally.problem for node, tally in record.tallies.items() if tally.problem}
    if problems:
        return FAILED, f"{name}: " + "; ".join(f"node {n} failed: {p}" for n, p in sorted(problems.items()))
    if not worker.settings.coordinated:
        return _verdict_of_nodes(worker)
    if record is None or record.state not in {ExperimentState.FINISHED, ExperimentState.DRAINING}:
        state, note = (
            (record.state, record.note)
            if record
            else (ExperimentState.WAITING, "no state record was written")
        )
        return (FAILED if state == ExperimentState.FAILED else INTERRUPTED), f"{name} is {state}: {note}"
    return (
        (LEARNED_NOTHING, _learned_nothing(worker, record.barren))
        if record.learned_nothing
        else (DONE, f"{name} is done")
    )


def _verdict_of_nodes(worker: Worker) -> tuple[int, str]:
    """Without a coordinator: the exit status of this machine's nodes."""
    name, results = worker.address.experiment, worker.results
    stopped = [result.stopped for result in results if result.stopped]
    if stopped or len(results) < len(worker.nodes):
        return INTERRUPTED, f"{name} is stopped here: {'; '.join(dict.fromkeys(stopped)) or 'on request'}"
    if all(result.learned_nothing for result in results):
        return LEARNED_NOTHING, _learned_nothing(worker, worker.config.alarm_streak)
    return DONE, f"{name} is done here: {', '.join(worker.nodes)}"


def _learned_nothing(worker: Worker, streak: int) -> str:
    return (
        f"{worker.address.experiment} LEARNED NOTHING: {without_advantage(streak, worker.config.rounds)}. "
        "Use easier questions, more completions, or a model that is sometimes right."
    )
