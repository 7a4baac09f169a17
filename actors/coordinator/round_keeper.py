"""Keeps the rounds of one term: opens stages, takes files in, closes stages, and drains at the end."""

from __future__ import annotations

from math import inf

import msgspec

from actors.coordinator.advancement import Observed, stage_is_over
from actors.coordinator.arrivals import Arrivals, Turn
from actors.coordinator.closing import close_stage, next_state
from actors.coordinator.draining import awaited_at_the_end, files_owed, looks_for_owed, looks_for_round
from actors.coordinator.epoch import Term
from actors.coordinator.parts import Parts
from actors.coordinator.state_copies import write_copies
from actors.coordinator.submissions import Look
from actors.store_meter import StoreMeter
from swarm_ray.records.state import (
    Answers,
    ExperimentState,
    Member,
    Moment,
    StageClosed,
    StageOpen,
    StateRecord,
)

LONGEST_DRAIN = 30
"""Times `pace.drain_s`: nobody holds the experiment's end up for longer, whatever it says."""
ANSWERED_AFTER = 2
"""Beats after which a node that hands nothing in, and has files without an answer, is taken to wait for that."""


class RoundKeeper:
    """One coordinator in one epoch, tick by tick.

    Args:
        parts: what it works with.
        term: writes its records.
        note: of its first record.
        now: the monotonic time.
    """

    def __init__(self, parts: Parts, term: Term, note: str, now: float) -> None:
        self._parts, self._term, self._first_note = parts, term, note
        self._pace = parts.config.pace
        self._arrivals, self._meter = Arrivals(), StoreMeter(parts.experiment.store)
        self._opens: StageOpen | None = None
        self._now = now
        self._scanned, self._heeded = -inf, -inf
        self._drains_since: float | None = None
        self.record: StateRecord | None = None
        """The newest of the term."""
        self.began = now
        """When it was written."""

    def tick(self, now: float, ending: tuple[ExperimentState, str] | None) -> bool:
        """Do what there is to do now; True when something changed.

        Args:
            now: the monotonic time.
            ending: the state and the note with which the experiment is to end.

        Raises:
            Superseded: somebody else coordinates the experiment.
            StoreError: the folder is lost, full or not writable; the next call goes on where this one failed.
        """
        self._now = now
        if self._term.unwritten:
            self._heed_rivals()
            self._commit()
            return True
        obeyed = self._scan()
        if ending or self._parts.control.stopped:
            self._append(*(ending or (ExperimentState.STOPPED, "on request")))
            return True
        if self.record is None:
            self._go_on(self._first_note)
            return True
        changed = self._between(self.record) if self._opens is None else self._during(self._opens)
        return changed or obeyed

    def _scan(self) -> bool:
        """Look at everything but the open stage, often while there is nothing else to wait for."""
        waiting, parts, now = self._opens is None, self._parts, self._now
        every = min(self._pace.beat_s / 2, 0.2) if waiting else self._pace.beat_s / 2
        if now - self._scanned < min(every, self._pace.poll_max_s):
            return False
        self._heed_rivals()
        parts.roster.scan(now, every_beat=waiting)
        parts.roster.mark_silent(now)
        self._term.beat(max(parts.history.opened.round, 0), now)
        obeyed = parts.control.scan(over=self._is_over())
        parts.intake.collect(self._looks_for_late(), self._turn(), self._arrivals)
        self._scanned = now
        return obeyed

    def _heed_rivals(self) -> None:
        """End where another's claim is better; adopt what lower claims have accepted. Once a tick is enough."""
        if self._heeded < self._now:
            for record in self._term.rivals():
                self._parts.intake.acknowledge(record, self._arrivals)
                self._parts.history.adopt(record)
            self._heeded = self._now

    def _is_over(self) -> bool:
        return self._parts.history.next.round >= self._parts.config.rounds

    def _turn(self) -> Turn:
        """Whose files count now."""
        stale = self._pace.staleness if self._is_async else None
        if self._opens is None:
            return Turn(*self._parts.history.next, staleness=stale, over=self._is_over())
        named = self._parts.roster.peers if self._is_async else [m.node for m in self._opens.members]
        return Turn(*Moment.of(self._opens), frozenset(named), stale)

    @property
    def _is_async(self) -> bool:
        return self._pace.mode == "async"

    def _looks_for_late(self) -> list[Look]:
        """Where files of earlier rounds may have become visible: where nodes wait for answers, or the end is near."""
        peers, first = self._parts.roster.peers, self.record is None
        looks = []
        for peer in peers.values():
            owed = files_owed(peer, self._parts.intake.is_answered)
            looks += looks_for_owed(peer, owed)
            if first or self._is_over():
                looks += looks_for_round(peer, self._parts.history.next.round)
        return looks

    def _members(self) -> list[Member]:
        """Members of the next stage; none when too few are there, or too few of those are alive."""
        history, roster = self._parts.history, self._parts.roster
        if history.opened.round < 0 and len(roster.peers) < self._pace.expect:
            return []
        active = roster.get_active_peers(self._now)
        if (
            history.next.stage > 0
        ):  # the round's own members, however few are left: nobody enters in its middle
            began = {member.node for member in history.members}
            return [member for member in active if member.node in began]
        return active if len(active) >= self._pace.min_nodes else []

    def _between(self, record: StateRecord) -> bool:
        """While no stage is open: answer what comes in, and go on as soon as that is possible."""
        if self._is_over() and record.state == ExperimentState.DRAINING and self._finish():
            return True
        if self._parts.history.next.stage > 0 and not self._members():
            self._leave_round("who began it")
            return True
        state = next_state(
            over=self._is_over(), paused=self._parts.control.paused, can_open=bool(self._members())
        )
        news = self._arrivals.answers() is not None or bool(self._parts.control.replies)
        if state == ExperimentState.RUNNING or state != record.state or news:
            self._go_on()
            return True
        return False

    def _during(self, opens: StageOpen) -> bool:
        """While a stage is open: take files in, and close it when the strategy says so."""
        taken = self._collect(opens)
        over, hopeless = self._stage_is_over(opens), self._is_hopeless(opens)
        if over or hopeless:
            self._heed_rivals()
        if self._parts.history.next > Moment.of(opens):
            self._arrivals.late += [counted.ref for counted in self._arrivals.accepted]
            self._go_on(
                f"round {opens.round} was closed by a coordinator whose records came late; the next opens"
            )
        elif over:
            self._go_on(closed=self._close(opens))
        elif hopeless:
            self._give_up(opens)
        elif self._waits_for_answers(opens):
            self._answer_first(opens)
        else:
            return taken
        return True

    def _collect(self, opens: StageOpen) -> bool:
        """Look into the folders of those who have not handed in; in async pace, of all who are alive."""
        peers, active = self._parts.roster.peers, self._parts.roster.get_active_peers(self._now)
        pending = active if self._is_async else self._arrivals.missing(opens.members)
        looks = [look for m in pending for look in looks_for_round(peers[m.node], opens.round)]
        taken = self._parts.intake.collect(looks, self._turn(), self._arrivals)
        for node, key in taken:
            self._parts.roster.published(node, key, self._now)
        return bool(taken)

    def _alive(self) -> set[str]:
        return {m.node for m in self._parts.roster.get_active_peers(self._now)}

    def _able(self, opens: StageOpen) -> set[str]:
        """Nodes that are alive and have not said that they sit the round out."""
        peers = self._parts.roster.peers
        return {node for node in self._alive() if not peers[node].skips(opens.round)}

    def _stage_is_over(self, opens: StageOpen) -> bool:
        missing = {m.node for m in self._arrivals.missing(opens.members)}
        submitted = len(opens.members) - len(missing)
        living = submitted + len(missing & self._able(opens))
        seconds = self._now - self.began
        return stage_is_over(self._pace, Observed(living, submitted, len(self._arrivals.accepted), seconds))

    def _is_hopeless(self, opens: StageOpen) -> bool:
        """Whether nothing is in, and nobody is left who could hand anything in."""
        could = {m.node for m in self._arrivals.missing(opens.members)} & self._able(opens)
        return not self._arrivals.accepted and not could

    def _waits_for_answers(self, opens: StageOpen) -> bool:
        """Whether nothing is in, and all who could hand something in wait for answers to earlier files.

        A node whose own disk holds as many of those as it may makes no further one, and would be waited for for ever.
        """
        if self._arrivals.accepted or self._arrivals.answers() is None:
            return False
        could = {m.node for m in self._arrivals.missing(opens.members)} & self._able(opens)
        waits = all(self._parts.roster.peers[node].unanswered for node in could)
        return waits and self._now - self.began >= ANSWERED_AFTER * self._pace.beat_s

    def _answer_first(self, opens: StageOpen) -> None:
        """Answer what came in late, and leave the stage open."""
        spent = self._arrivals.spent
        self._go_on(f"files of rounds before {opens.round} are answered first")
        self._arrivals.spent = spent

    def _give_up(self, opens: StageOpen) -> None:
        """Open the round again for others; or the next one, where those who are left have spent this one."""
        if opens.stage > 0:
            self._leave_round("whose file counts")
        elif self._alive().isdisjoint(m.node for m in opens.members):
            self._go_on(f"every member of round {opens.round} is gone; it opens again when others come")
        else:
            self._parts.history.next = Moment(opens.round + 1)
            self._go_on(f"no file of round {opens.round} counts; the next opens")

    def _leave_round(self, whom: str) -> None:
        """Go on with the next round where a later stage has nobody left."""
        number, stage = self._parts.history.next
        self._parts.history.next = Moment(number + 1)
        self._go_on(f"round {number} ends before its stage {stage}: nobody is left {whom}; the next opens")

    def _close(self, opens: StageOpen) -> StageClosed:
        """Count what came in."""
        arrivals, tallies = self._arrivals, self._parts.tallies
        for ref, file in sorted(arrivals.accepted, key=lambda c: (c.ref.node, c.ref.step)):
            tallies.submit_reward(ref.node, opens.round, file)
            tallies.submit_winners(ref.node, file.vote)
        winners = tallies.close_round([c.file for c in arrivals.accepted], self._parts.roster.peers)
        seconds = self._now - self.began
        use = self._meter.since_last()
        closed = close_stage(opens, arrivals, winners, seconds, use, awaited=not self._is_async)
        self._parts.history.closed(closed)
        return closed

    def _go_on(self, note: str = "", closed: StageClosed | None = None) -> None:
        """Write the record that says what comes next, and opens it where that can be."""
        members = self._members()
        state = next_state(over=self._is_over(), paused=self._parts.control.paused, can_open=bool(members))
        opens = None
        if state == ExperimentState.RUNNING:
            opens = StageOpen(*self._parts.history.next, tuple(members), self._pace.min_s, self._pace.max_s)
        elif state == ExperimentState.WAITING and closed is not None:
            note = note or f"fewer than {self._pace.min_nodes} living nodes"
        if state == ExperimentState.DRAINING and self._drains_since is None:
            self._drains_since = self._now
        self._append(state, note, closed, opens)

    def _finish(self) -> bool:
        """After the last round: end once every living node has sent its last beat and has its answers."""
        peers, parts = self._parts.roster.peers, self._parts
        owed = {node: files_owed(peer, parts.intake.is_answered) for node, peer in peers.items()}
        unfinished = sorted(self._alive())
        since = self._now if self._drains_since is None else self._drains_since
        if awaited_at_the_end(peers, unfinished, owed) and self._drains(since, unfinished):
            return False
        note = f"no last word from {', '.join(unfinished)}" if unfinished else ""
        self._append(
            ExperimentState.FINISHED, note, expired={node: rounds for node, rounds in owed.items() if rounds}
        )
        return True

    def _drains(self, since: float, unfinished: list[str]) -> bool:
        """Whether to wait longer: for `pace.drain_s`, and beyond that while a node makes progress."""
        drained, drain_s = self._now - since, self._pace.drain_s
        quiet = min((self._parts.roster.silence(node, self._now) for node in unfinished), default=drained)
        return min(drained, quiet) < drain_s and drained < LONGEST_DRAIN * drain_s

    def _append(
        self,
        state: ExperimentState,
        note: str = "",
        closed: StageClosed | None = None,
        opens: StageOpen | None = None,
        expired: dict[str, tuple[int, ...]] | None = None,
    ) -> None:
        """Write a state record: the commit point."""
        self._heed_rivals()
        parts = self._parts
        nodes = {node: peer.problem for node, peer in parts.roster.peers.items()}
        answers = None if closed else self._arrivals.answers()
        if expired:
            answers = msgspec.structs.replace(answers or Answers(), expired=expired)
        record = StateRecord(
            state=state,
            rounds=parts.config.rounds,
            closed=closed,
            opens=opens,
            tallies=parts.tallies.of(nodes, parts.roster.totals() if opens is None else None),
            note=note,
            learned_nothing=parts.tallies.learned_nothing,
            barren=parts.tallies.barren,
            config_hash=parts.changed_hash,
            answers=answers,
            replies=dict(parts.control.replies),
        )
        self._term.hold(record, Moment.of(opens) if opens else max(parts.history.opened, Moment(0)))
        self._commit()

    def _commit(self) -> None:
        """Write the record that is held, and go on from it."""
        record = self._term.write()
        self.record, self._opens, self.began = record, record.opens, self._now
        self._arrivals = Arrivals()
        if record.opens:
            self._parts.history.opens(record.opens)
        self._parts.control.written(record.replies)
        write_copies(self._parts.experiment, record)
