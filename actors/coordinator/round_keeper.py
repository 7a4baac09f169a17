"""Keeps the rounds of one epoch: opens stages, takes files in, closes stages, and drains at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from math import inf
from statistics import fmean

import msgspec

from actors.coordinator.closing import Received, stage_is_over
from actors.coordinator.context import CoordinatorContext, listings_of_round
from actors.coordinator.epoch import Epoch
from actors.store_meter import StoreMeter
from drive_store import ExperimentStore, NameTaken
from swarm_ray.records.state import (
    Answers,
    ExperimentState,
    Moment,
    StageClosed,
    StageOpen,
    StateRecord,
)

LONGEST_DRAIN = 30
"""Times `pace.drain_s`: a node can delay the end of the experiment by at most this."""
ANSWERED_AFTER = 2
"""Heartbeats after which a node that submits nothing and has unanswered files counts as waiting for them."""


class RoundKeeper:
    """One coordinator in one epoch, tick by tick.

    Args:
        context: shared between epochs.
        epoch: writes its records.
        note: of its first record.
        now: the monotonic time.
    """

    def __init__(self, context: CoordinatorContext, epoch: Epoch, note: str, now: float) -> None:
        self._context, self._epoch, self._first_note = context, epoch, note
        self._pace, self._peers = context.rules.pace, context.roster.peers
        self._received, self._meter = Received(), StoreMeter(context.experiment.store)
        self._opens: StageOpen | None = None
        self._now = now
        self._scanned, self._rivals_checked = -inf, -inf
        self._drains_since: float | None = None
        self._held: tuple[StateRecord, Moment] | None = None
        """A record that waits to be written because the folder could not be reached, and what it is about."""
        self.record: StateRecord | None = None
        """The newest of the epoch."""
        self.began = now
        """When it was written."""

    def tick(self, now: float, ending: tuple[ExperimentState, str] | None) -> bool:
        """Do what is due; True when something changed.

        Args:
            now: the monotonic time.
            ending: final state and note, if the experiment is to end.

        Raises:
            Superseded: another coordinator has the better claim.
            StoreError: the folder is lost, full or not writable; the next call resumes where this one failed.
        """
        self._now = now
        if self._held:
            self._check_rivals()
            self._commit(*self._held)
            return True
        obeyed = self._scan()
        if ending or self._context.control.stopped:
            self._append(*(ending or (ExperimentState.STOPPED, "on request")))
            return True
        if self.record is None:
            self._go_on(self._first_note)
            return True
        changed = self._between(self.record) if self._opens is None else self._during(self._opens)
        return changed or obeyed

    def _scan(self) -> bool:
        """Look at everything except the open stage, often while nothing else is pending."""
        waiting, context, now = self._opens is None, self._context, self._now
        every = min(self._pace.beat_s / 2, 0.2) if waiting else self._pace.beat_s / 2
        if now - self._scanned < min(every, self._pace.poll_max_s):
            return False
        self._check_rivals()
        context.roster.scan(now, every_beat=waiting)
        context.roster.mark_silent(now)
        self._epoch.beat(max(context.history.opened.round, 0), now)
        obeyed = context.control.scan(over=self._context.is_over)
        context.submissions.collect(
            self._context.late_listings(first=self.record is None),
            self._context.due(self._opens),
            self._received,
        )
        self._scanned = now
        return obeyed

    def _check_rivals(self) -> None:
        """End if another claim is better; adopt what lower claims have accepted. Once per tick is enough."""
        if self._rivals_checked < self._now:
            for record in self._epoch.rivals():
                self._context.submissions.acknowledge(record, self._received)
                self._context.history.adopt(record)
            self._rivals_checked = self._now

    def _between(self, record: StateRecord) -> bool:
        """While no stage is open: answer incoming files, and open the next stage as soon as possible."""
        context, members = self._context, self._context.members(self._now)
        if context.is_over and record.state == ExperimentState.DRAINING and self._finish():
            return True
        if context.history.next.stage > 0 and not members:
            self._leave_round("who began it")
            return True
        state = context.next_state(members)
        pending = self._received.answers() is not None or bool(context.control.replies)
        if state == ExperimentState.RUNNING or state != record.state or pending:
            self._go_on()
            return True
        return False

    def _during(self, opens: StageOpen) -> bool:
        """While a stage is open: take files in, and close it when the strategy says so."""
        taken = self._collect(opens)
        history, received, seconds = self._context.history, self._received, self._now - self.began
        missing = {m.node for m in received.missing(opens.members)}
        could = {
            n for n in missing & self._context.alive(self._now) if self._peers[n].beat.skipped < opens.round
        }
        submitted, accepted = len(opens.members) - len(missing), len(received.accepted)
        over = stage_is_over(
            self._pace,
            living=submitted + len(could),
            submitted=submitted,
            accepted=accepted,
            seconds=seconds,
        )
        hopeless = not accepted and not could  # no living member could submit anything
        if over or hopeless:
            self._check_rivals()
        if history.next > opens.moment:
            received.late += [counted.ref for counted in received.accepted]
            self._go_on(
                f"round {opens.round} was closed by a coordinator whose records came late; the next opens"
            )
        elif over:
            self._go_on(closed=self._close(opens))
        elif hopeless:
            self._give_up(opens)
        elif not accepted and seconds >= ANSWERED_AFTER * self._pace.beat_s and self._wait_for_answers(could):
            self._go_on(f"files of rounds before {opens.round} are answered first")
            self._received.spent = received.spent
        else:
            return taken
        return True

    def _collect(self, opens: StageOpen) -> bool:
        """List the folders of members that have not submitted; in async pace, of all living nodes."""
        roster, received = self._context.roster, self._received
        pending = (
            roster.get_active_peers(self._now) if self._context.is_async else received.missing(opens.members)
        )
        looks = [look for m in pending for look in listings_of_round(self._peers[m.node], opens.round)]
        taken = self._context.submissions.collect(looks, self._context.due(opens), received)
        for node in taken:
            roster.published(node, self._now)
        return bool(taken)

    def _wait_for_answers(self, could: set[str]) -> bool:
        """Whether all members that could submit wait for answers to earlier files, which can be given.

        A node whose spool is full of unanswered files makes no more, so the stage would never close.
        """
        return self._received.answers() is not None and all(
            self._peers[node].beat.unanswered for node in could
        )

    def _give_up(self, opens: StageOpen) -> None:
        """Reopen the round for other nodes, or open the next if the remaining ones have used this one up."""
        if opens.stage > 0:
            self._leave_round("whose file counts")
        elif self._context.alive(self._now).isdisjoint(m.node for m in opens.members):
            self._go_on(f"every member of round {opens.round} is gone; it opens again when others come")
        else:
            self._context.history.next = Moment(opens.round + 1)
            self._go_on(f"no file of round {opens.round} counts; the next opens")

    def _leave_round(self, whom: str) -> None:
        """Open the next round if no member is left for a later stage."""
        number, stage = self._context.history.next
        self._context.history.next = Moment(number + 1)
        self._go_on(f"round {number} ends before its stage {stage}: no node is left {whom}; the next opens")

    def _close(self, opens: StageOpen) -> StageClosed:
        """Count accepted files, and say how the stage ended; in async pace no member counts as missing."""
        received, tallies = self._received, self._context.tallies
        received.accepted.sort(key=lambda counted: (counted.ref.node, counted.ref.step))
        rewards: defaultdict[str, list[float]] = defaultdict(list)
        informative: Counter[str] = Counter()
        for ref, file in received.accepted:
            tallies.submit_reward(
                ref.node, (opens.round, file.step), file.reward, file.generated_tokens, file.previous
            )
            tallies.submit_winners(ref.node, file.vote)
            informative[ref.node] += file.informative
            if file.reward is not None:
                rewards[ref.node].append(file.reward)
        telling = [file.informative for _, file in received.accepted if file.reward is not None]
        missing = () if self._context.is_async else received.missing(opens.members)
        means = {node: fmean(found) for node, found in rewards.items()}
        self._context.history.closed(opens.moment, received.nodes, means.values())
        return StageClosed(
            round=opens.round,
            stage=opens.stage,
            accepted=tuple(counted.ref for counted in received.accepted),
            missing=tuple(m.node for m in missing),
            late=tuple(received.late),
            superseded=tuple(received.superseded),
            rejected=tuple(received.rejected),
            rewards=means,
            informative=dict(informative),
            winners=tallies.close_round(telling, self._peers),
            seconds=self._now - self.began,
            store=self._meter.since_last(),
        )

    def _go_on(self, note: str = "", closed: StageClosed | None = None) -> None:
        """Write the record for what comes next, opening it if possible."""
        members, pace = self._context.members(self._now), self._pace
        state = self._context.next_state(members)
        opens = None
        if state == ExperimentState.RUNNING:
            opens = StageOpen(*self._context.history.next, tuple(members), pace.min_s, pace.max_s)
        elif state == ExperimentState.WAITING and closed is not None:
            note = note or f"fewer than {pace.min_nodes} living nodes"
        elif state == ExperimentState.DRAINING and self._drains_since is None:
            self._drains_since = self._now
        self._append(state, note, closed, opens)

    def _finish(self) -> bool:
        """After the last round: end once every living node has sent its final heartbeat and has its answers."""
        owed = {node: rounds for node, peer in self._peers.items() if (rounds := self._context.owed(peer))}
        unfinished = sorted(self._context.alive(self._now))
        # Dead and failed nodes are not waited for.
        awaited = unfinished or any(self._peers[node].problem is None for node in owed)
        if awaited and self._drains(unfinished):
            return False
        note = f"no final heartbeat from {', '.join(unfinished)}" if unfinished else ""
        self._append(ExperimentState.FINISHED, note, expired=owed)
        return True

    def _drains(self, unfinished: list[str]) -> bool:
        """Whether to wait longer: for `pace.drain_s`, and beyond that while a node makes progress."""
        since = self._now if self._drains_since is None else self._drains_since
        drained, drain_s = self._now - since, self._pace.drain_s
        quiet = min((self._context.roster.silence(node, self._now) for node in unfinished), default=drained)
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
        self._check_rivals()
        context, tallies = self._context, self._context.tallies
        answers = None if closed else self._received.answers()
        if expired:
            answers = msgspec.structs.replace(answers or Answers(), expired=expired)
        record = StateRecord(
            state=state,
            rounds=context.rules.rounds,
            closed=closed,
            opens=opens,
            tallies=tallies.of(
                {node: peer.problem for node, peer in self._peers.items()},
                context.roster.totals() if opens is None else {},
            ),
            note=note,
            learned_nothing=tallies.learned_nothing,
            barren=tallies.barren,
            config_hash=context.changed_hash,
            answers=answers,
            replies=dict(context.control.replies),
        )
        about = opens.moment if opens else max(context.history.opened, Moment(0))
        self._held = record, about
        self._commit(record, about)

    def _commit(self, record: StateRecord, about: Moment) -> None:
        """Write the held record, which is about a stage, and continue from it; a call that failed is repeated."""
        self._context.experiment.store.check()
        self._epoch.log.append(msgspec.json.encode(record), round=about.round, stage=about.stage)
        self._held = None
        self.record, self._opens, self.began = record, record.opens, self._now
        self._received = Received()
        if record.opens:
            self._context.history.opens(record.opens)
        self._context.control.written(list(record.replies))
        write_copies(self._context.experiment, record)


def write_copies(experiment: ExperimentStore, record: StateRecord) -> None:
    """Write `current_state.json`, and the rewards and winners of the round that closed.

    Raises:
        StoreError: the folder is lost, full or not writable.
    """
    store, paths = experiment.store, experiment.paths
    opens, closed = record.opens, record.closed
    current = {
        "state": record.state,
        "round": opens.round if opens else None,
        "stage": opens.stage if opens else None,
        "rounds": record.rounds,
        "members": [m.node for m in opens.members] if opens else [],
        "note": record.note,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    store.replace_copy(paths.current_state, _readable(current))
    if closed is None or closed.stage > 0:  # a game's files have rewards and votes in its first stage
        return
    copies = {paths.rewards(closed.round): closed.rewards, paths.winners(closed.round): closed.winners}
    for key, value in copies.items():
        store.make_folder(key.rpartition("/")[0])
        try:
            store.create(key, _readable(value))
        except NameTaken:
            store.replace_copy(key, _readable(value))


def _readable(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
