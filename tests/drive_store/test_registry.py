"""Registrations, beats, and who is alive."""

from math import inf
from pathlib import Path

import pytest

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
    is_dead,
)
from drive_store.names import twin_name

PATHS = ExperimentPaths("tea")
A, B = "0123abcd", "4567abcd"


def test_what_is_registered_is_read_once(tea: ExperimentStore) -> None:
    registry, done = Registry(tea), tea.store.operations
    assert registry.registrations() == {}
    for n, incarnation in (("n1", A), ("n1", B), ("n2", A)):
        registry.register(n, incarnation, b'{"of":"%s"}' % n.encode())
        registry.write_beat(n, incarnation, 0, b"{}")
    done.reads = done.lists = 0
    for _ in range(3):
        found = registry.registrations()
        assert sorted(found) == [("n1", A), ("n1", B), ("n2", A)]
    reading = found["n2", A]
    assert isinstance(reading, Valid)
    assert (reading.payload, done.reads, done.lists) == (b'{"of":"n2"}', 3, 3)


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
    registry, done = Registry(tea), tea.store.operations
    assert isinstance(registry.registration("n1", A), NotYet)
    registry.register("n1", A, b"{}")
    name = Path(tea.store.root, PATHS.registration("n1", A))
    name.rename(Path(tea.store.root, twin_name(PATHS.registration("n1", A), 1)))
    done.reads = done.lists = 0
    for _ in range(2):
        found = registry.registration("n1", A)
        assert isinstance(found, Valid)
        assert (found.payload, done.reads, done.lists) == (b"{}", 2, 0)


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
    assert (alive.silence("n1", 100.0), alive.alive("n1", 100.0)) == (inf, False)
    alive.observe("n1", 1, 100.0)
    alive.observe("n1", 1, 105.0)
    assert alive.silence("n1", 106.0) == 6.0
    assert [alive.alive("n1", now) for now in (110.0, 110.1)] == [True, False]
    alive.observe("n1", 2, 111.0)
    assert (alive.silence("n1", 111.5), alive.silence("n2", 111.5)) == (0.5, inf)
    assert not is_dead(None, 10.0)
