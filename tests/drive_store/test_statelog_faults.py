"""The state log under delay and tearing: a reader never goes back, and at last obeys the right chain."""

import tempfile
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from drive_store import (
    ExperimentPaths,
    ExperimentStore,
    StateEntry,
    StateLogReader,
    StateLogWriter,
    StateRef,
    Store,
    history,
)

PATHS = ExperimentPaths("tea")


class DelayedStore(Store):
    """A reader's own view: some files are not to be seen yet, and of some only the beginning is."""

    def __init__(self, root_url: str) -> None:
        super().__init__(root_url)
        self.seen_bytes: dict[str, int | None] = {}

    def read(self, key: str, limit: int) -> bytes | None:
        data = super().read(key, limit)
        if data is None or key not in self.seen_bytes:
            return data
        seen = self.seen_bytes[key]
        return None if seen is None else data[: min(seen, len(data) - 1)]

    def names(self, folder_key: str) -> list[str]:
        hidden = {key for key, seen in self.seen_bytes.items() if seen is None}
        return [name for name in super().names(folder_key) if f"{folder_key}/{name}" not in hidden]


class TwoCoordinators(RuleBasedStateMachine):
    """Coordinators that succeed each other without knowing all that was written, and one reader."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(self.folder.name)
        self.view = DelayedStore(self.folder.name)
        self.reader = StateLogReader(ExperimentStore(self.view, PATHS), list_every=3)
        self.logs = [StateLogWriter(ExperimentStore(self.store, PATHS), 1, "w1")]
        self.written: dict[StateRef, tuple[bytes, StateRef | None]] = {}
        self.answered: list[StateEntry] = []

    def teardown(self) -> None:
        with self.folder:
            self.view.seen_bytes.clear()
            self.poll(force=True)
            self.never_back()
            self.nothing_invented()
            chain = self.obeyed()
            assert self.reader.last == (chain[-1] if chain else None)
            assert [entry.ref for entry in history(ExperimentStore(self.store, PATHS))] == chain
            assert self.reader.problems == []

    def obeyed(self) -> list[StateRef]:
        """The chain by the model: back from the last record of the highest epoch that wrote any."""
        heads = [log.last for log in self.logs if log.last in self.written and log.last.epoch == log.epoch]
        chain: list[StateRef] = []
        ref = max(heads, key=lambda head: head.epoch) if heads else None
        while ref is not None:
            chain.append(ref)
            ref = self.written[ref][1]
        return chain[::-1]

    @rule(which=st.integers(0, 3), seen=st.none() | st.integers(0, 800) | st.just(10**6))
    def write(self, which: int, seen: int | None) -> None:
        log = self.logs[which % len(self.logs)]
        payload = b'{"n":%d}' % len(self.written)
        before = log.last
        ref = log.append(payload, round=len(self.written), stage=0)
        self.written[ref] = (payload, before)
        if seen != 10**6:
            self.view.seen_bytes[PATHS.state_record(ref.epoch, ref.sequence, ref.claimant)] = seen

    @precondition(lambda self: self.written and len(self.logs) < 4)
    @rule(back=st.integers(0, 3))
    def succeed(self, back: int) -> None:
        """A new coordinator takes over, perhaps without having seen the last records."""
        chain = self.obeyed()
        after = chain[max(0, len(chain) - 1 - back)]
        epoch = len(self.logs) + 1
        self.logs.append(
            StateLogWriter(ExperimentStore(self.store, PATHS), epoch, f"w{epoch}", resume_after=after)
        )

    @rule(which=st.integers(0, 50))
    def reveal(self, which: int) -> None:
        hidden = sorted(self.view.seen_bytes)
        if hidden:
            del self.view.seen_bytes[hidden[which % len(hidden)]]

    @rule(force=st.booleans())
    def poll(self, force: bool) -> None:
        self.reader._never_listed |= force
        self.answered += self.reader.poll()

    @invariant()
    def never_back(self) -> None:
        positions = [entry.ref.position for entry in self.answered]
        assert all(one < other for one, other in pairwise(positions))

    @invariant()
    def nothing_invented(self) -> None:
        for entry in self.answered:
            assert self.written[entry.ref][0] == entry.payload


TwoCoordinators.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestTwoCoordinators = TwoCoordinators.TestCase
