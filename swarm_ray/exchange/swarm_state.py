"""A trainer's view of the state log: what closed, what is open, and waiting for either."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from drive_store import ExperimentPaths, StateEntry, StateLogReader, Store, newest
from swarm_ray.config import PaceConfig
from swarm_ray.errors import StopRequested, SwarmStateError
from swarm_ray.exchange.pacing import Pacing
from swarm_ray.records import StageClosed, StageOpen, StateRecord

T = TypeVar("T")
KEPT_STAGES = 8
ENDED = ("finished", "stopped", "failed")


def decode_state(entry: StateEntry) -> StateRecord:
    """The state record in an entry of the log.

    Raises:
        SwarmStateError: its payload is none.
    """
    try:
        return msgspec.json.decode(entry.payload, type=StateRecord)
    except msgspec.MsgspecError as error:
        raise SwarmStateError(
            f"state record {entry.ref.sequence} of epoch {entry.ref.epoch} is not one this version reads: {error}"
        ) from error


class SwarmState:
    """Follows the state log of an experiment.

    Args:
        store: the shared folder.
        paths: the experiment's paths.
        pace: how often to look.
        stop: when set, every wait ends with `StopRequested`.
    """

    def __init__(self, store: Store, paths: ExperimentPaths, pace: PaceConfig, stop: threading.Event) -> None:
        self._store, self._paths = store, paths
        self._reader: StateLogReader | None = None
        self._stop, self._experiment = stop, paths.experiment
        self._pacing = Pacing(pace.poll_min_s, pace.poll_max_s, stop.wait)
        self._closed: dict[int, StageClosed] = {}
        self.latest: StateRecord | None = None
        self.epoch = 0

    def poll(self) -> bool:
        """Read what is new; True when there was something. A latecomer starts from the newest record."""
        entries = self._first() if self._reader is None else self._reader.poll()
        for entry in entries:
            record = decode_state(entry)
            self.latest, self.epoch = record, entry.ref.epoch
            if record.closed is not None:
                self._closed[record.closed.round] = record.closed
        for number in sorted(self._closed)[:-KEPT_STAGES]:
            del self._closed[number]
        return bool(entries)

    def _first(self) -> list[StateEntry]:
        found = newest(self._store, self._paths)
        if found is None:
            return []
        self._reader = StateLogReader(self._store, self._paths, after=found.ref)
        return [found]

    def pause(self) -> None:
        """Wait until the next look at the folder.

        Raises:
            StopRequested: the worker was told to stop.
        """
        if self._stop.is_set():
            raise StopRequested("told to stop")
        self._pacing.pause()

    def wait(self, look: Callable[[StateRecord | None], T | None], within_s: float | None, what: str) -> T:
        """Poll until `look` finds something in the latest record.

        Args:
            look: given the latest record, or None before the first; answers None to go on waiting.
            within_s: seconds to wait at most; None waits as long as the swarm does.
            what: what is waited for, for the error's message.

        Raises:
            StopRequested: the worker was told to stop.
            SwarmStateError: nothing was found in time.
        """
        began = time.monotonic()
        while True:
            if self._stop.is_set():
                raise StopRequested("told to stop")
            if self.poll():
                self._pacing.changed()
            found = look(self.latest)
            if found is not None:
                return found
            rest = None if within_s is None else within_s - (time.monotonic() - began)
            if rest is not None and rest <= 0:
                raise SwarmStateError(
                    f"{what} of experiment {self._experiment!r} did not come within {within_s:.0f} s. Is the "
                    "coordinator alive, and does it see this folder? Start it again under another name."
                )
            self._pacing.pause(rest)

    def wait_open(self, nodes: set[str], after: int) -> StageOpen | None:
        """Wait until a round after `after` opens with one of `nodes` in it; None once the experiment has ended.

        A swarm may wait for members as long as it likes, so there is no deadline.
        """

        def look(record: StateRecord | None) -> StageOpen | str | None:
            if record is None:
                return None
            opens = record.opens
            if opens and opens.round > after and nodes & {m.node for m in opens.members}:
                return opens
            return record.state if record.state in (*ENDED, "draining") else None

        found = self.wait(look, None, "the next round")
        return found if isinstance(found, StageOpen) else None

    def wait_closed(self, number: int, within_s: float) -> StageClosed:
        """Wait for the record that closes round `number`.

        Raises:
            StopRequested: the experiment was stopped, or the worker was told to.
        """

        def look(record: StateRecord | None) -> StageClosed | None:
            closed = self._closed.get(number)
            if closed is None and record is not None and record.state in ENDED:
                raise StopRequested(f"the experiment is {record.state}: {record.note}")
            return closed

        return self.wait(look, within_s, f"the record that closes round {number}")
