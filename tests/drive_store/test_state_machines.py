"""The spool and the state log under losses, tearing, delays and restarts.

Nothing that the spool held is lost, and one of each step counts; a reader of the log never goes back, and at last
obeys the right chain.
"""

import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from drive_store import (
    ExperimentPaths,
    ExperimentStore,
    Spool,
    StateEntry,
    StateLogReader,
    StateLogWriter,
    StateRef,
    Store,
    StoreError,
    Valid,
    create_experiment_folder,
    find_bucket_files,
    history,
    payload_sha256,
    read_round_file,
)
from drive_store.names import parse_peer_folder
from drive_store.testing import Faults, FaultyStore

PATHS = ExperimentPaths("tea")
RETRY_S = 120.0


class RecordingStore(FaultyStore):
    """Remembers which names were created."""

    def __init__(self, root_url: str) -> None:
        super().__init__(root_url)
        self.created: list[str] = []

    def create(self, key: str, data: bytes) -> None:
        super().create(key, data)
        self.created.append(key)


class SpoolMachine(RuleBasedStateMachine):
    """One node whose process dies now and then, a store that fails, and a coordinator that answers."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        self.own, self.now, self.lives = root / "own", 0.0, 0
        self.store = RecordingStore(str(root / "store"))
        self.experiment = ExperimentStore(self.store, PATHS)
        create_experiment_folder(self.experiment)
        self.store.create(PATHS.experiment_json, b"{}")
        self.store.attach(PATHS.experiment_json)
        self.view = FaultyStore(str(root / "store"))  # the coordinator's
        self.theirs = ExperimentStore(self.view, PATHS)
        self.held: dict[int, bytes] = {}
        self.released: set[int] = set()
        self.seen: set[str] = set()
        self.accepted: dict[int, str] = {}  # step to payload hash
        self.answers: list[tuple[str, str, str]] = []  # hash, outcome and key, not delivered yet
        self.outcomes: dict[int, str] = {}

    @initialize()
    def begin(self) -> None:
        self.restart()

    def restart(self) -> None:
        """The process is gone, and with it all that it did not write; the next one is another incarnation."""
        self.lives += 1
        life, clock = f"{self.lives:08x}", lambda: self.now
        self.spool = Spool(self.own, self.experiment, "n1", life, retry_s=RETRY_S, clock=clock)
        assert self.spool.problems == []

    @rule(then=st.sampled_from(["send", "send", "send and die", "die", "wait"]))
    def publish(self, then: str) -> None:
        step = len(self.held)
        payload = b"rollouts of step %d" % step
        self.held[step] = payload
        self.spool.hold(round=step, stage=0, step=step, epoch=1, payload=payload)
        if "send" in then:
            self.attempt(lambda: self.spool.send(step))
        if "die" in then:
            self.restart()

    @rule(then=st.sampled_from(["go on", "die"]))
    def retry(self, then: str) -> None:
        self.attempt(self.spool.retry_due)
        if then == "die":
            self.restart()

    @precondition(lambda self: self.spool.unanswered())
    @rule(data=st.data())
    def adopt(self, data: st.DataObject) -> None:
        """A resuming node sends its own file of the present round again."""
        step = data.draw(st.sampled_from([entry.step for entry in self.spool.unanswered()]))
        self.attempt(lambda: self.spool.send(step))

    @rule(seconds=st.sampled_from([1.0, RETRY_S / 4, RETRY_S, 4 * RETRY_S]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(faults=st.sampled_from(["", "", "unavailable 1", "full 1", "lose 1", "lose 3", "tear 1"]))
    def switch(self, faults: str) -> None:
        name, _, count = faults.partition(" ")
        self.store.faults = msgspec.convert({name: count} if name else {}, Faults, strict=False)

    @precondition(lambda self: self.store.created[1:])
    @rule(data=st.data(), half=st.booleans())
    def lose_later(self, data: st.DataObject, half: bool) -> None:
        """What was written goes, or half of it, before the coordinator has seen it."""
        path = Path(self.store.root) / data.draw(st.sampled_from(self.store.created[1:]))
        if path.exists():
            if half:
                path.write_bytes(path.read_bytes()[:40])
            else:
                path.unlink()

    @rule(delayed=st.sampled_from([0, 0, 1, 3]), answers=st.integers(0, 5), by_key=st.booleans())
    def coordinate(self, delayed: int, answers: int, by_key: bool) -> None:
        """Some of the answers come through; the others later."""
        self.view.faults = Faults(delay_looks=delayed)
        self.scan()
        for _ in range(min(answers, len(self.answers))):
            self.deliver(by_key)

    def scan(self) -> None:
        """The coordinator reads what it sees of all incarnations, and decides."""
        for text in self.view.names(PATHS.rollouts_parent):
            peer = parse_peer_folder(text).peer
            for key, _ in find_bucket_files(self.theirs, *peer, 0, settled=self.seen):
                origin = {"node": peer[0], "incarnation": peer[1]}
                reading = read_round_file(self.theirs, key, **origin, sha256=None, max_payload=1000)
                if isinstance(reading, Valid):
                    self.seen.add(key)
                    self.decide(key, reading)

    def decide(self, key: str, reading: Valid) -> None:
        step = reading.header.sequence
        assert reading.payload == self.held[step]
        first = self.accepted.setdefault(step, reading.sha256)
        assert first == reading.sha256
        self.answers.append((reading.sha256, "accepted", key))

    def deliver(self, by_key: bool) -> None:
        sha256, outcome, key = self.answers.pop(0)
        before = {entry.step for entry in self.spool.unanswered()}
        answered = self.spool.settle_key(key, outcome) if by_key else self.spool.settle(sha256, outcome, key)
        after = {entry.step for entry in self.spool.unanswered()}
        assert len(before - after) == answered
        for step in before - after:
            assert step not in self.outcomes
            self.outcomes[step] = outcome

    @precondition(lambda self: self.outcomes)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        through = data.draw(st.sampled_from(sorted(self.outcomes)))
        self.spool.release(through)
        self.released |= {step for step in self.outcomes if step <= through}

    @invariant()
    def nothing_is_lost(self) -> None:
        if self.lives:  # the first invariants come before the first rule
            entries = {entry.step: entry for entry in self.spool.entries()}
            assert set(entries) == set(self.held) - self.released
            for step, entry in entries.items():
                assert entry.payload == self.held[step]
                assert entry.sha256 == payload_sha256(self.held[step])
                assert entry.outcome == self.outcomes.get(step, "")

    @invariant()
    def no_name_is_written_twice(self) -> None:
        files = [key for key in self.store.created if key.endswith(".rollouts")]
        assert max(Counter(files).values(), default=1) == 1
        for entry in self.spool.entries() if self.lives else []:
            assert len(set(entry.keys)) == len(entry.keys)

    def teardown(self) -> None:
        """Once the faults stop every file that was held is accepted, once."""
        with self.folder:
            if self.lives:
                self.store.faults = self.view.faults = Faults()
                for _ in range(3):
                    self.spool.retry_due()
                    self.scan()
                    while self.answers:
                        self.deliver(by_key=False)
                    self.now += 10 * self.spool.wait_s
                assert set(self.outcomes) == set(self.held) == set(self.accepted)
                assert self.spool.unanswered() == []

    def attempt(self, call: object) -> None:
        assert callable(call)
        try:
            call()
        except StoreError:
            assert self.store.faults.unavailable or self.store.faults.full


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)


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
