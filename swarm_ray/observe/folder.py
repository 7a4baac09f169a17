"""A swarm's picture from its folder alone, wherever its nodes are: each look costs as much as the one before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from drive_store import InvalidName
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import ConfigError
from swarm_ray.experiments.read.coordinator import coordinator_alarm, coordinator_line
from swarm_ray.experiments.read.experiment import OpenExperiment
from swarm_ray.experiments.read.node_liveness import coordinator_signs
from swarm_ray.experiments.read.status import current_round
from swarm_ray.experiments.read.uncoordinated import told_by_nodes
from swarm_ray.observe.eta import round_seconds, seconds_left
from swarm_ray.observe.newest import NewestRecords, RewardCurve, sample_log
from swarm_ray.observe.node_liveness import Sign, Signs
from swarm_ray.observe.recent import closings, node_line, rounds_closed, swarm_reward
from swarm_ray.observe.remarks import (
    is_silent,
    label,
    never_arrived,
    result_line,
    swarm_alarm,
    swarm_notes,
    with_sign,
)
from swarm_ray.observe.sightings import Sightings
from swarm_ray.observe.snapshot import NodeLine, Picture
from swarm_ray.records.state import ENDED, ExperimentState, StateRecord

_RECORD, _COORDINATOR = "newest record", "coordinator"


class SwarmFolder:
    """Looks at an experiment again and again.

    A look costs five listings or so, and a small read per node, per coordinator and per new record (20 at most),
    however many rounds there were. The first one reads some older records too.

    Args:
        opened: the experiment.
        clock: seconds, monotonic.

    Raises:
        StoreUnavailable: the folder cannot be read.
    """

    def __init__(self, opened: OpenExperiment, clock: Callable[[], float]) -> None:
        self._opened = opened
        opened.store.attach(opened.paths.experiment_json)
        self._log, self._curve = NewestRecords(opened.view), RewardCurve()
        self._sightings = Sightings(clock)
        self._signs = Signs(opened, self._sightings)
        self._configs: dict[str, SwarmConfig | None] = {}

    def look(self) -> Picture:
        """The swarm as it is now.

        Raises:
            SwarmStateError: the newest state record is none that this version reads.
            StoreError: the folder is out of reach, or is not the one that it was.
        """
        self._opened.store.check()  # an unmounted Drive is an empty folder, in which nothing ever changes
        first, ref = self._log.ref is None, self._log.ref
        records = self._log.look()
        if not records:
            return self._without_record()
        if self._log.ref != ref:
            self._extend_curve(records, first=first)
        return self._of_records(records)

    def _without_record(self) -> Picture:
        signs = self._signs.look(None, None)
        config, told = self._config(""), told_by_nodes(self._opened)
        return Picture(
            experiment=self._opened.paths.experiment,
            state=told.state if told else ExperimentState.WAITING,
            label=label(config) if config else "",
            rounds=told.rounds if told else config.rounds if config else 0,
            closed=current_round(told) + 1 if told else 0,
            nodes=tuple(self._line(node, (), sign, config) for node, sign in sorted(signs.items())),
            notes=(told.note if told else "its coordinator has not begun",),
        )

    def _of_records(self, records: tuple[StateRecord, ...]) -> Picture:
        record, config = records[-1], self._config(records[-1].config_hash)
        self._note_coordinators()
        signs = self._signs.look(record, self._log.ref)
        nodes = tuple(
            self._line(node, records, signs.get(node), config) for node in sorted({*record.tallies, *signs})
        )
        closed = rounds_closed(record)
        round_s = round_seconds([closing.seconds for closing in closings(records)])
        lost = self._coordinator_alarm(record, config, signs)
        return Picture(
            experiment=self._opened.paths.experiment,
            state=record.state,
            label=label(config) if config else "",
            rounds=record.rounds,
            closed=closed,
            round_s=round_s,
            left_s=seconds_left(
                record.state, record.rounds - closed, round_s, self._sightings.silence(_RECORD)
            ),
            rewards=self._curve.values(),
            reward=swarm_reward(records),
            cumulative=sum(tally.totals.reward for tally in record.tallies.values()),
            nodes=nodes,
            coordinator=self._coordinator(record),
            result=result_line(list(record.tallies.values())) if record.state in ENDED else "",
            alarms=tuple(alarm for alarm in (swarm_alarm(record), lost) if alarm),
            notes=tuple(text for text in (record.note, *swarm_notes(record, lost=bool(lost))) if text),
            lost=bool(lost),
        )

    def _line(
        self, node: str, records: tuple[StateRecord, ...], sign: Sign | None, config: SwarmConfig | None
    ) -> NodeLine:
        record = records[-1] if records else None
        line = node_line(node, records, config.local if config else None)
        pace = config.pace if config else SwarmConfig().pace
        line = with_sign(line, sign, record, pace)
        if record is not None and record.state in ENDED:
            line = never_arrived(line, record)
        if sign is not None and (record is None or node not in record.tallies):
            in_force = record.config_hash if record else ""
            refused = self._signs.peers.refused(node, sign.incarnation, in_force)
            line = replace(line, problems=(*line.problems, refused)) if refused else line
        return line

    def _extend_curve(self, records: tuple[StateRecord, ...], *, first: bool) -> None:
        head = self._log.ref
        if first and head is not None:
            for record in sample_log(self._opened.view, head):
                self._curve.add(record)
        for record in records:
            self._curve.add(record)

    def _note_coordinators(self) -> None:
        """A record and a beat are signs of a coordinator, whoever that is."""
        ref = self._log.ref
        found = coordinator_signs(self._opened, ref)
        if ref is not None:
            key = self._opened.paths.state_record(ref.epoch, ref.sequence, ref.claimant)
            self._sightings.note(_RECORD, ref, lambda: self._opened.age(key))
        self._sightings.note(_COORDINATOR, (ref, found.beats), lambda: found.age(self._opened))

    def _coordinator(self, record: StateRecord) -> str:
        ref = self._log.ref
        if ref is None:
            return ""
        seen_s = None if record.state in ENDED else self._sightings.silence(_COORDINATOR)
        return coordinator_line(
            ref.claimant, ref.epoch, seen_s, by_clocks=self._sightings.by_clocks(_COORDINATOR)
        )

    def _coordinator_alarm(
        self, record: StateRecord, config: SwarmConfig | None, signs: dict[str, Sign]
    ) -> str:
        pace = config.pace if config else SwarmConfig().pace
        heard_of = [sign for sign in signs.values() if not is_silent(sign, pace)]
        alone = [sign.incarnation for sign in heard_of if sign.beat and sign.beat.alone]
        heard = self._sightings.silence(_COORDINATOR)
        return coordinator_alarm(record.state, heard, pace, alone, len(signs) - len(heard_of), len(signs))

    def _config(self, in_force: str) -> SwarmConfig | None:
        """The configuration in force; None where it cannot be read."""
        if in_force not in self._configs:
            try:
                self._configs[in_force] = self._opened.config(in_force)
            except (ConfigError, InvalidName):
                self._configs[in_force] = None
        return self._configs[in_force]
