"""Two coordinators at once, which at times do not see each other: nothing counts twice, and rounds go on."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from folder_for_tests import Folder, round_file
from hypothesis import given, settings
from hypothesis import strategies as st
from swarm_for_tests import rules_of

from actors.coordinator.coordinator import Coordinator
from drive_store import ExperimentStore, StateEntry, StateLogReader, Store
from swarm_ray.errors import NodeTakenError
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.records.state import StateRecord

NODES = ("node-1", "node-2")
OVER = ("finished", "stopped", "failed")


class DimStore(Store):
    """A store that, while it is blind, shows of the state log only its own claimant's files and what it has shown."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.blind, self.claimant = False, ""
        self._shown: set[str] = set()

    def names(self, folder_key: str) -> list[str]:
        return [text for text in super().names(folder_key) if self._shows(f"{folder_key}/{text}")]

    def read(self, key: str, limit: int) -> bytes | None:
        return super().read(key, limit) if self._shows(key) else None

    def _shows(self, key: str) -> bool:
        hidden = self.blind and "/state/" in key and "coordinator." in key and self.claimant not in key
        if not hidden and not key.endswith(".beat"):  # of which a new content may not show
            self._shown.add(key)
        return not hidden or key in self._shown


@dataclass(frozen=True)
class DimAddress(ExperimentAddress):
    """Opens dim stores, and keeps them."""

    stores: list[DimStore] = field(default_factory=list, compare=False)

    def open(self) -> ExperimentStore:
        store = DimStore(self.root)
        store.attach(self.paths.experiment_json)
        self.stores.append(store)
        return ExperimentStore(store, self.paths)


class ObedientNode:
    """Hands in a file for each round that opens for it, each step once, and waits for the answers."""

    def __init__(self, folder: Folder, node: str) -> None:
        self.node, self._folder = node, folder
        self._reader = StateLogReader(ExperimentStore(folder.store, folder.paths), list_every=1)
        self._round, self._step, self._count = -1, 0, 0
        self._waiting: dict[str, int] = {}
        self.seen: list[StateEntry] = []
        self.published: list[str] = []
        folder.join(node)
        folder.register(node)
        self._beat()

    def act(self) -> None:
        """Read what is new, hand in what is asked for, and say how far one is."""
        entries = self._reader.poll()
        self.seen += entries
        for entry in entries:
            self._settle(decode_state(entry))
        if entries:
            self._obey(decode_state(entries[-1]))
        self._beat(done=bool(self.seen) and self._may_go(decode_state(self.seen[-1])))

    def _may_go(self, record: StateRecord) -> bool:
        return record.state == "draining" and not self._waiting

    def _obey(self, record: StateRecord) -> None:
        opens = record.opens
        if opens is None or opens.round <= self._round or self.node not in {m.node for m in opens.members}:
            return
        self._round, self._step = opens.round, self._step + 1
        file = msgspec.msgpack.encode(round_file(step=self._step))
        sent = self._folder.publish(self.node, opens.round, file)
        self.published.append(sent.key)
        self._waiting[sent.key] = opens.round

    def _settle(self, record: StateRecord) -> None:
        for key in answered_by(record):
            self._waiting.pop(key, None)

    def _beat(self, *, done: bool = False) -> None:
        self._count += 1
        said = {"round": self._round, "step": self._step, "phase": "waiting", "progress": self._count}
        unanswered = tuple(sorted(self._waiting.values()))
        self._folder.beat(self.node, self._count, done=done, unanswered=unanswered, **said)


class Rivals:
    """Two places at which a coordinator may run, none of which knows of the other's life."""

    def __init__(self, tmp_path: Path, **changes: Any) -> None:
        pace = {
            "beat_s": 0.2,
            "dead_after_s": 2.0,
            "settle_s": 1.0,
            "max_s": 6.0,
            "drain_s": 30.0,
            "expect": 2,
        }
        self.folder = Folder(tmp_path, **{f"pace__{key}": said for key, said in pace.items()} | changes)
        self.nodes = [ObedientNode(self.folder, node) for node in NODES]
        self.now, self._started = 100.0, 0
        self._addresses: list[DimAddress | None] = [None, None]
        self.coordinators: list[Coordinator | None] = [None, None]

    def start(self, place: int) -> None:
        """Start a coordinator at a place; one that was there is gone without a word."""
        address = DimAddress(self.folder.address.root, self.folder.address.experiment)
        made = Coordinator(address, rules_of(self.folder.config), lock=False)
        self._started += 1
        made.claimant = f"coordinator.{self._started:08x}"  # so that a failing schedule fails again
        address.stores[0].claimant = made.claimant
        self._addresses[place], self.coordinators[place] = address, made

    def blind(self, place: int, *, blind: bool) -> None:
        """Hide from a place what others write into the state log, or show it."""
        address = self._addresses[place]
        if address is not None:
            address.stores[0].blind = blind

    def tick(self, place: int, seconds: float) -> None:
        """Let time pass, and a coordinator do what there is to do."""
        self.now += seconds
        coordinator = self.coordinators[place]
        if coordinator is None:
            return
        try:
            coordinator.tick(self.now)
        except NodeTakenError:
            self.coordinators[place] = None
        if coordinator.status().state in {*OVER, "superseded"} and not coordinator.tick(self.now):
            self.coordinators[place] = None

    def go(self, rounds_of_the_clock: int, *places: int) -> None:
        """Let these places and all nodes act in turn, for so many ticks."""
        for _ in range(rounds_of_the_clock):
            for place in places:
                self.tick(place, 0.15)
            for node in self.nodes:
                node.act()

    def settle(self, most: int = 1500) -> str:
        """Let both see everything, and the swarm run to its end; answers the last state."""
        for place in (0, 1):
            self.blind(place, blind=False)
        for _ in range(most):
            if self.coordinators == [None, None]:
                if self.chain() and decode_state(self.chain()[-1]).state in OVER:
                    break
                self.start(0)
            self.go(1, 0, 1)
        return decode_state(self.chain()[-1]).state

    def chain(self) -> list[StateEntry]:
        """The log as one who comes last reads it."""
        return StateLogReader(ExperimentStore(self.folder.store, self.folder.paths)).poll()


def answered_by(record: StateRecord) -> list[str]:
    """Keys of the files that a record answers."""
    keys = []
    for source in (record.closed, record.answers):
        if source is not None:
            keys += [ref.key for ref in (*source.late, *source.superseded)]
            keys += [refusal.key for refusal in source.rejected]
    return keys + [ref.key for ref in (record.closed.accepted if record.closed else ())]


places = st.integers(0, 1)
steps = st.one_of(
    st.tuples(st.just("tick"), places, st.sampled_from([0.0, 0.15, 1.1, 2.5])),
    st.tuples(st.just("go"), places, st.sampled_from([1, 3, 9])),
    st.tuples(st.just("both"), places, st.sampled_from([1, 3, 9])),
    st.tuples(st.just("act"), places, st.just(0.0)),
    st.tuples(st.just("blind"), places, st.sampled_from([0.0, 1.0])),
    st.tuples(st.just("start"), places, st.just(0.0)),
)


def play(rivals: Rivals, schedule: list[tuple[str, int, float]]) -> None:
    rivals.start(0)
    for what, place, number in schedule:
        if what == "tick":
            rivals.tick(place, number)
        elif what in {"go", "both"}:
            rivals.go(int(number), *((0, 1) if what == "both" else (place,)))
        elif what == "act":
            rivals.nodes[place].act()
        elif what == "blind":
            rivals.blind(place, blind=bool(number))
        elif rivals.coordinators[place] is None or number:
            rivals.start(place)


def check(rivals: Rivals) -> None:
    """I2, I3 and I4."""
    chain = rivals.chain()
    records = [decode_state(entry) for entry in chain]
    accepted = [(ref.node, ref.step) for r in records if r.closed for ref in r.closed.accepted]
    assert len(accepted) == len(set(accepted))
    closed = [r.closed.round for r in records if r.closed]
    assert closed == sorted(set(closed))
    assert [entry.header.round for entry in chain] == sorted(entry.header.round for entry in chain)
    for node in rivals.nodes:
        positions = [entry.ref.position for entry in node.seen]
        assert positions == sorted(set(positions))
    answers = {key for record in records for key in answered_by(record)}
    expired = {node for r in records if r.answers for node in r.answers.expired}
    unanswered = [key for node in rivals.nodes for key in node.published if key not in answers]
    assert not unanswered or expired, unanswered


@settings(max_examples=25)
@given(st.lists(steps, max_size=30))
def test_in_any_order(schedule: list[tuple[str, int, float]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rivals = Rivals(Path(folder), rounds=20)
        play(rivals, schedule)
        assert rivals.settle() == "finished"
        check(rivals)


def test_both_write_and_the_log_stays_one(tmp_path: Path) -> None:
    """The one sleeps long enough to be succeeded, wakes up blind, and writes on."""
    rivals = Rivals(tmp_path, rounds=40)
    rivals.start(0)
    rivals.go(4, 0)
    rivals.start(1)
    rivals.tick(1, 0.15)
    rivals.blind(0, blind=True)
    rivals.blind(1, blind=True)
    rivals.go(25, 0, 1)
    names = [path.name for path in Path(rivals.folder.root).rglob("e*-s*.coordinator.*.json")]
    first, second = (
        {n.split("-")[1][:9] for n in names if n.startswith(epoch)} for epoch in ("e000001", "e000002")
    )
    assert len(first & second) > 3  # both have written records of the same sequence
    assert rivals.settle() == "finished"
    check(rivals)
