"""The coordinator: opens and closes rounds by writing the state log."""

from __future__ import annotations

import threading
import time

from actors.coordinator.closing import RoundRules, Tallies
from actors.coordinator.context import CoordinatorContext, RoundHistory
from actors.coordinator.control import Action, Control
from actors.coordinator.epoch import Epoch
from actors.coordinator.failover import CoordinatorLock, Failover, has_nothing_left
from actors.coordinator.roster import Roster
from actors.coordinator.round_keeper import RoundKeeper
from actors.coordinator.submissions import Submissions
from actors.discovery.peer_records import PeerRecords
from drive_store import StoreDenied, StoreFull, StoreUnavailable, new_incarnation
from swarm_ray.errors import Superseded
from swarm_ray.exchange.backoff import Backoff
from swarm_ray.experiments.folder import ExperimentAddress, read_identity
from swarm_ray.machine.local_disk import LocalJson
from swarm_ray.records.nodes import PeerRecord
from swarm_ray.records.state import ENDED, CoordinatorProgress, ExperimentState, Member, StateRecord


class Coordinator:
    """Runs the rounds of one experiment, from waiting for its nodes to *finished*; a restart resumes it.

    Args:
        address: an existing experiment.
        rules: of its rounds.
        worker: its host, for messages.
        lock: whether to make sure that no other process of this machine coordinates the experiment.

    Raises:
        NodeTakenError: another process of this machine coordinates it.
        StoreUnavailable: the experiment's folder cannot be read.
    """

    def __init__(
        self,
        address: ExperimentAddress,
        rules: RoundRules,
        worker: str = "coordinator",
        *,
        lock: bool = True,
    ) -> None:
        self._rules, self._pace, self._worker = rules, rules.pace, worker
        itself = Member("coordinator", new_incarnation())
        self.claimant = f"{itself.node}.{itself.incarnation}"
        self._machine_lock = CoordinatorLock(address, self.claimant) if lock else None
        self._experiment = address.open()
        self._store = self._experiment.store
        self._made = time.monotonic()
        identity, own = read_identity(self._store, address), rules.config_hash
        first = identity.config_hash if identity else own
        self._context = CoordinatorContext(
            rules=rules,
            changed_hash="" if first == own else own,
            experiment=self._experiment,
            roster=Roster(self._experiment, {first, own}, rules.pace),
            submissions=Submissions(self._experiment, rules.stages),
            control=Control(self._experiment),
            tallies=Tallies(rules.alarm_streak),
            history=RoundHistory(rules.stages),
        )
        dead = self._machine_lock.predecessors if self._machine_lock else frozenset()
        self._failover = Failover(self._experiment, rules, self._context.roster, dead)
        self._records = PeerRecords(
            self._store,
            self._store.check,
            address.experiment,
            self._pace.beat_s,
            LocalJson(None, dict[str, PeerRecord]),
        )
        self._records.add(itself, "", "", "coordinator")
        self._keeper: RoundKeeper | None = None
        self._wake = threading.Event()
        self._ending: tuple[ExperimentState, str] | None = None
        self._end = ""
        self._problem, self._unreachable = "", False
        self._found: StateRecord | None = None
        """The newest record of earlier coordinators, until this one has written its own."""

    def run(self) -> str:
        """Coordinate until the experiment ends; answers its last state: finished, stopped, failed or superseded.

        While the folder is unreachable it keeps retrying.

        Raises:
            NodeTakenError: the experiment is coordinated elsewhere.
            StoreError: the folder holds invalid data.
        """
        backoff = Backoff(self._pace.poll_min_s, self._pace.poll_max_s, self._wake.wait)
        while not self._end:
            now = time.monotonic()
            if self._unreachable:
                self._context.roster.excuse(now)
            try:
                changed, self._unreachable = self.tick(now), False
            except (StoreUnavailable, StoreFull, StoreDenied) as error:
                changed, self._unreachable = False, True
                self._problem = f"{type(error).__name__}: {error}"
                self._end = self._ending[0] if self._ending else ""  # one that is to stop waits for no folder
            if changed:
                backoff.changed()
            elif not self._end:
                backoff.pause()
        self._records.leave()
        self._records.publish()
        self.close()
        return self._end

    def close(self) -> None:
        """Let another process of this machine coordinate; harmless when repeated."""
        if self._machine_lock:
            self._machine_lock.release()

    def tick(self, now: float) -> bool:
        """Do what is due; True when something changed."""
        if self._end:
            return False
        if self._keeper is None:
            return self._begin(now)
        try:
            changed = self._keeper.tick(now, self._ending)
        except Superseded as error:
            self._end, self._problem = "superseded", str(error)
            return True
        self._problem = ""
        self._records.publish()
        record = self._keeper.record
        if record is not None and record.state in ENDED:
            self._end = record.state
        return changed

    def stop(self, state: ExperimentState, note: str) -> None:
        """End the experiment as `stopped` or `failed`, at the next tick; a second call changes nothing."""
        self._ending = self._ending or (state, note)
        self._wake.set()

    def control(self, action: Action) -> None:
        """Stop, pause or resume, at the next look at the folder."""
        self._context.control.ask(action)

    def status(self) -> CoordinatorProgress:
        """The current status; may be called from another thread."""
        peers, history = dict(self._context.roster.peers), self._context.history
        problems = {node: p.problem for node, p in peers.items() if p.problem}
        record = self._keeper.record if self._keeper else None
        record = record or self._found
        began = self._keeper.began if self._keeper else self._made
        return CoordinatorProgress(
            state=self._end or (record.state if record else ExperimentState.WAITING),
            round=history.opened.round,
            registered=tuple(sorted(peers)),
            record=record,
            problems={**problems, **self._context.roster.refused},
            seconds=time.monotonic() - began,
            rewards=history.rewards(),
            closed=max(history.next.round, 0),
            problem=self._problem,
            unreachable=self._unreachable,
        )

    def get_round_and_stage(self) -> tuple[int, int]:
        """The open round and stage; the last ones while none is open, and (-1, 0) before the first."""
        return self._context.history.opened

    def get_active_peers(self) -> list[Member]:
        """Healthy nodes that are alive and not done."""
        return self._context.roster.get_active_peers(time.monotonic())

    def get_submissions_for_round(self, number: int) -> list[str]:
        """Ids of the nodes whose files of round `number` were accepted."""
        return self._context.history.of(number)

    def _begin(self, now: float) -> bool:
        """Begin an epoch once the previous coordinator is known to have ended; True when something changed."""
        found = self._failover.look(now)
        if found is None:
            self._problem = (
                f"waiting until {self._failover.waits_for}, which may still be coordinating, is silent"
            )
            self._end = self._ending[0] if self._ending else ""
            return bool(self._ending)
        self._found, self._problem = found.last, ""
        self._context.inherit(found)
        if has_nothing_left(found.records, self._rules.rounds, self._rules.stages):
            self._end = ExperimentState.FINISHED
            return True
        note = f"waiting for {self._pace.expect} node(s) to register"
        if found.predecessor:
            who = f"{self.claimant} on {self._worker} succeeds {found.predecessor}"
            note = f"{who} at round {found.upcoming.round}"
        epoch = Epoch(
            self._experiment, self.claimant, found.epoch, inherited=found.refs, beat_s=self._pace.beat_s
        )
        self._keeper = RoundKeeper(self._context, epoch, note, now)
        return True
