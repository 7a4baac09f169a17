"""The coordinator: opens and closes rounds by writing the state log."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from math import inf

import msgspec

from actors.advancement import Observed, stage_is_over
from actors.intake import Arrivals, Intake
from actors.roster import Roster
from actors.state_copies import write_copies
from actors.tallies import Tallies
from drive_store import StateLogWriter
from swarm_ray.config import SwarmConfig
from swarm_ray.exchange.pacing import Pacing
from swarm_ray.experiment_folder import ExperimentAddress
from swarm_ray.records import Member, StageClosed, StageOpen, StateRecord
from swarm_ray.settings import config_hash

EPOCH = 1


@dataclass(frozen=True)
class CoordinatorStatus:
    """What a display needs."""

    state: str
    round: int
    rounds: int
    registered: tuple[str, ...]
    record: StateRecord | None
    problems: dict[str, str]
    seconds: float
    """Since the open stage began."""
    rewards: tuple[float, ...]
    """Mean own reward over the nodes, for every closed round."""


class Coordinator:
    """Runs the rounds of one experiment, from waiting for its nodes to *finished*.

    Args:
        address: the experiment, created before.
        config: its configuration.
        claimant: who writes the state log.
    """

    def __init__(self, address: ExperimentAddress, config: SwarmConfig, claimant: str) -> None:
        self._config, self._pace = config, config.pace
        self._store, self._paths = address.open(), address.paths
        self._log = StateLogWriter(self._store, self._paths, EPOCH, claimant)
        self._roster = Roster(self._store, self._paths, config_hash(config), config.pace)
        self._intake = Intake(self._store, self._paths)
        self._tallies = Tallies(min(config.alarm_rounds, config.rounds))
        self._wake = threading.Event()
        self._ending: tuple[str, str] | None = None
        self._record: StateRecord | None = None
        self._opens: StageOpen | None = None
        self._arrivals = Arrivals()
        self._submissions: dict[int, list[str]] = {}
        self._rewards: list[float] = []
        self._round, self._began, self._scanned = -1, time.monotonic(), -inf
        self._closed = 0
        """Rounds that have closed, which is the number of the next."""

    def run(self) -> str:
        """Coordinate until the experiment ends; answers its last state: finished, stopped or failed.

        Raises:
            StoreError: the folder is lost, full or not writable.
        """
        pacing = Pacing(self._pace.poll_min_s, self._pace.poll_max_s, self._pause)
        self._append("waiting", note=f"waiting for {self._pace.expect} node(s) to register")
        while self._record is None or self._record.state not in {"finished", "stopped", "failed"}:
            if self.tick(time.monotonic()):
                pacing.changed()
            else:
                pacing.pause()
        return self._record.state

    def tick(self, now: float) -> bool:
        """Do what there is to do now; True when something changed."""
        if self._ending:
            self._append(*self._ending)
            return True
        before = len(self._roster.peers)
        self._scan(now)
        if self._opens is None:
            return self._draining(now) if self._is_over() else self._open_next(now)
        found = self._collect(self._opens, now)
        if self._stage_is_over(self._opens, now):
            self._close(self._opens, now)
            return True
        if self._is_deserted(self._opens, now):
            note = f"every member of round {self._round} is gone; it opens again when others come"
            self._append("waiting", note=note)
            return True
        return bool(found) or len(self._roster.peers) > before

    def stop(self, state: str, note: str) -> None:
        """End the experiment as `stopped` or `failed`, at the next tick; a second call changes nothing."""
        self._ending = self._ending or (state, note)
        self._wake.set()

    def status(self) -> CoordinatorStatus:
        """What is going on; may be called from another thread."""
        peers = dict(self._roster.peers)
        problems = {node: p.problem for node, p in peers.items() if p.problem}
        return CoordinatorStatus(
            state=self._record.state if self._record else "waiting",
            round=self._round,
            rounds=self._config.rounds,
            registered=tuple(sorted(peers)),
            record=self._record,
            problems={**problems, **self._roster.refused},
            seconds=time.monotonic() - self._began,
            rewards=tuple(self._rewards),
        )

    def get_round_and_stage(self) -> tuple[int, int]:
        """The open round and stage; the last ones while none is open, and (-1, 0) before the first."""
        return self._round, 0

    def get_active_peers(self) -> list[Member]:
        """Nodes that are alive, well and not done."""
        return self._roster.get_active_peers(time.monotonic())

    def get_submissions_for_round(self, number: int) -> list[str]:
        """Ids of the nodes whose files of round `number` were accepted."""
        return list(self._submissions.get(number, []))

    def _pause(self, seconds: float) -> None:
        self._wake.wait(seconds)

    def _is_over(self) -> bool:
        return self._closed >= self._config.rounds

    def _scan(self, now: float) -> None:
        """Look at the registrations and beats, often while there is nothing else to wait for."""
        waiting = self._opens is None
        every = min(self._pace.beat_s / 2, 0.2) if waiting else self._pace.beat_s / 2
        if now - self._scanned >= min(every, self._pace.poll_max_s):
            self._roster.scan(now, every_beat=waiting)
            self._roster.mark_silent(now)
            self._scanned = now

    def _open_next(self, now: float) -> bool:
        """Open the next round if enough nodes are alive."""
        members = self._members(now)
        if not members:
            return False
        self._append("running", opens=self._next_stage(members))
        return True

    def _members(self, now: float) -> list[Member]:
        """Members of the next round; none when too few are there, or too few of those are alive."""
        if self._round < 0 and len(self._roster.peers) < self._pace.expect:
            return []
        active = self._roster.get_active_peers(now)
        return active if len(active) >= self._pace.min_nodes else []

    def _next_stage(self, members: list[Member]) -> StageOpen:
        return StageOpen(self._closed, 0, tuple(members), self._pace.min_s, self._pace.max_s)

    def _collect(self, opens: StageOpen, now: float) -> list[str]:
        pending = self._arrivals.missing(opens.members)
        taken = self._intake.collect(pending, opens.round, self._arrivals)
        for key in taken:
            self._roster.published(key.split("/")[-3].split(".")[0], key, now)
        return taken

    def _stage_is_over(self, opens: StageOpen, now: float) -> bool:
        missing = {m.node for m in self._arrivals.missing(opens.members)}
        alive = {m.node for m in self._roster.get_active_peers(now)}
        submitted = len(opens.members) - len(missing)
        seen = Observed(
            living=submitted + len(missing & alive),
            submitted=submitted,
            accepted=len(self._arrivals.accepted),
            seconds=now - self._began,
        )
        return stage_is_over(self._pace, seen)

    def _is_deserted(self, opens: StageOpen, now: float) -> bool:
        """Whether nothing is in, and nobody is left who could hand anything in."""
        alive = {m.node for m in self._roster.get_active_peers(now)}
        return not self._arrivals.accepted and alive.isdisjoint(m.node for m in opens.members)

    def _close(self, opens: StageOpen, now: float) -> None:
        """Write the record that closes the stage and, where it can, opens the next."""
        arrivals = self._arrivals
        for node, file in sorted(arrivals.files.items()):
            self._tallies.submit_reward(node, opens.round, file)
            self._tallies.submit_winners(node, file.vote)
        winners = self._tallies.close_round(arrivals.files, self._roster.peers)
        closed = StageClosed(
            round=opens.round,
            stage=opens.stage,
            accepted=tuple(arrivals.accepted[node] for node in sorted(arrivals.accepted)),
            missing=tuple(m.node for m in arrivals.missing(opens.members)),
            late=tuple(arrivals.late),
            superseded=tuple(arrivals.superseded),
            rejected=tuple(arrivals.rejected),
            rewards={node: file.reward for node, file in sorted(arrivals.files.items())},
            informative={node: file.informative for node, file in sorted(arrivals.files.items())},
            winners=winners,
            seconds=now - self._began,
        )
        self._submissions[opens.round] = sorted(arrivals.accepted)
        self._closed += 1
        self._rewards.append(sum(closed.rewards.values()) / len(closed.rewards))
        if self._is_over():
            self._append("draining", closed=closed)
            return
        members = self._members(now)
        if members:
            self._append("running", closed=closed, opens=self._next_stage(members))
        else:
            self._append("waiting", closed=closed, note=f"fewer than {self._pace.min_nodes} living nodes")

    def _draining(self, now: float) -> bool:
        """After the last round: wait for the nodes' last beats, then end."""
        unfinished = [m.node for m in self._roster.get_active_peers(now)]
        if unfinished and now - self._began < self._pace.drain_s:
            return False
        note = f"no last word from {', '.join(unfinished)}" if unfinished else ""
        self._append("finished", note=note)
        return True

    def _append(
        self, state: str, note: str = "", closed: StageClosed | None = None, opens: StageOpen | None = None
    ) -> None:
        """Write a state record: the commit point."""
        self._store.check()
        nodes = {node: peer.problem for node, peer in self._roster.peers.items()}
        record = StateRecord(
            state=state,
            rounds=self._config.rounds,
            closed=closed,
            opens=opens,
            tallies=self._tallies.of(nodes, self._roster.totals() if opens is None else None),
            note=note,
            learned_nothing=self._tallies.learned_nothing,
        )
        number = opens.round if opens else max(self._round, 0)
        self._log.append(msgspec.json.encode(record), round=number, stage=0)
        self._record, self._opens, self._began = record, opens, time.monotonic()
        self._arrivals = Arrivals()
        if opens:
            self._round = opens.round
        write_copies(self._store, self._paths, record)
