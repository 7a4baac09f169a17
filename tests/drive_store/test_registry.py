"""Registrations, beats, and who is alive."""

from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drive_store import (
    Corrupt,
    ExperimentPaths,
    ExperimentStore,
    Liveness,
    NameTaken,
    NotYet,
    Registry,
    Rejected,
    Valid,
)
from drive_store.names import twin_name

PATHS = ExperimentPaths("tea")
A, B = "0123abcd", "4567abcd"


def test_what_is_registered_is_read_once(tea: ExperimentStore) -> None:
    registry = Registry(tea)
    assert registry.registrations() == {}
    for n, incarnation in (("n1", A), ("n1", B), ("n2", A)):
        registry.register(n, incarnation, b'{"of":"%s"}' % n.encode())
        registry.write_beat(n, incarnation, 0, b"{}")
    reads, lists = tea.store.operations.reads, tea.store.operations.lists
    for _ in range(3):
        found = registry.registrations()
        assert sorted(found) == [("n1", A), ("n1", B), ("n2", A)]
    reading = found["n2", A]
    assert isinstance(reading, Valid)
    assert reading.payload == b'{"of":"n2"}'
    assert tea.store.operations.reads - reads == 3
    assert tea.store.operations.lists - lists == 3


def test_a_registration_under_a_false_name_is_rejected(tea: ExperimentStore) -> None:
    registry = Registry(tea)
    registry.register("n1", A, b"{}")
    with pytest.raises(NameTaken):
        registry.register("n1", A, b"2")
    data = tea.store.read(PATHS.registration("n1", A), 10_000)
    for peer in (("n2", A), ("n1", B)):
        tea.store.create(PATHS.registration(*peer), data)
    found = {peer: type(reading) for peer, reading in registry.registrations().items()}
    assert found == {("n1", A): Valid, ("n2", A): Rejected, ("n1", B): Rejected}


def test_one_registration_is_read_alone_and_its_twin_where_it_is_gone(tea: ExperimentStore) -> None:
    registry = Registry(tea)
    assert isinstance(registry.registration("n1", A), NotYet)
    registry.register("n1", A, b"{}")
    name = Path(tea.store.root, PATHS.registration("n1", A))
    name.rename(Path(tea.store.root, twin_name(PATHS.registration("n1", A), 1)))
    reads, lists = tea.store.operations.reads, tea.store.operations.lists
    found = registry.registration("n1", A)
    assert isinstance(found, Valid)
    assert found.payload == b"{}"
    assert (tea.store.operations.reads - reads, tea.store.operations.lists - lists) == (2, 0)
    assert registry.registration("n1", A) == found
    assert tea.store.operations.reads - reads == 2


def test_damage_and_twins(tea: ExperimentStore) -> None:
    registry = Registry(tea)
    for node in ("n1", "n2", "n3"):
        registry.register(node, A, b"{}")
    name = {node: Path(tea.store.root, PATHS.registration(node, A)) for node in ("n1", "n2", "n3")}
    twin = {node: Path(tea.store.root, twin_name(PATHS.registration(node, A), 1)) for node in name}
    whole = name["n1"].read_bytes()
    name["n1"].write_bytes(whole[:50])
    name["n2"].rename(twin["n2"])
    twin["n3"].write_bytes(b"garbage")
    tea.store.create(f"{PATHS.peers_folder}/desktop.ini", b"")
    found = registry.registrations()
    assert [type(found[node, A]) for node in name] == [NotYet, Valid, Valid]
    name["n1"].write_bytes(b"garbage")
    assert isinstance(registry.registrations()["n1", A], Corrupt)
    name["n1"].write_bytes(whole)
    assert isinstance(registry.registrations()["n1", A], Valid)


def test_a_beat_is_the_last_one(tea: ExperimentStore) -> None:
    registry = Registry(tea)
    assert isinstance(registry.read_beat("n1", A), NotYet)
    for sequence in range(3):
        registry.write_beat("n1", A, sequence, b"%d" % sequence)
    reading = registry.read_beat("n1", A)
    assert isinstance(reading, Valid)
    assert (reading.payload, reading.header.sequence) == (b"2", 2)
    assert isinstance(registry.read_beat("n1", B), NotYet)
    path = Path(tea.store.root, PATHS.beat("n1", A))
    path.rename(Path(tea.store.root, twin_name(PATHS.beat("n1", A), 1)))
    assert registry.read_beat("n1", A) == reading


def test_a_peer_is_alive_while_it_changes() -> None:
    alive = Liveness(10.0)
    assert alive.silence("n1", 100.0) == inf
    assert not alive.alive("n1", 100.0)
    alive.observe("n1", 1, 100.0)
    alive.observe("n1", 1, 105.0)
    assert alive.silence("n1", 106.0) == 6.0
    assert alive.alive("n1", 110.0)
    assert not alive.alive("n1", 110.1)
    alive.observe("n1", 2, 111.0)
    assert alive.silence("n1", 111.5) == 0.5
    assert alive.silence("n2", 111.5) == inf


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 100)), min_size=1))
def test_silence_counts_from_the_last_change(looks: list[tuple[int, float]]) -> None:
    alive, now, changed, last = Liveness(10.0), 0.0, 0.0, None
    for mark, passed in looks:
        now += passed
        changed = now if mark != last else changed
        last = mark
        alive.observe("n1", mark, now)
        assert alive.silence("n1", now) == now - changed
