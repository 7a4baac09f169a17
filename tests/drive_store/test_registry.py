"""Registrations, beats and who is alive; what a successor asks of the folder; and requests."""

from math import inf
from pathlib import Path

import pytest

from drive_store import (
    Corrupt,
    ExperimentPaths,
    ExperimentStore,
    InvalidName,
    Liveness,
    NameTaken,
    NotYet,
    Publication,
    Registry,
    Rejected,
    RequestReader,
    StateLogWriter,
    StateRef,
    Valid,
    best_claim,
    highest_round_seen,
    is_dead,
    publish_round_file,
    read_coordinator_beats,
    write_coordinator_beat,
    write_request,
)
from drive_store.names import twin_name
from drive_store.statelog.log import claimant_rank

PATHS = ExperimentPaths("tea")
A, B = "0123abcd", "89abcdef"


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


def test_beats_of_all_claimants(tea: ExperimentStore) -> None:
    assert read_coordinator_beats(tea) == {}
    StateLogWriter(tea, 1, f"w1.{A}").append(b"{}", round=0, stage=0)
    tea.store.create(PATHS.current_state, b"{}")
    for claimant, count in ((f"w1.{A}", 1), (f"w1.{A}", 2), ("w2", 7)):
        write_coordinator_beat(tea, claimant, count, b'{"n":%d}' % count)
    beats = {name: (beat.header.sequence, beat.payload) for name, beat in read_coordinator_beats(tea).items()}
    assert beats == {f"w1.{A}": (2, b'{"n":2}'), "w2": (7, b'{"n":7}')}
    with pytest.raises(InvalidName):
        write_coordinator_beat(tea, "../w3", 1, b"{}")


def test_beats_that_are_torn_or_foreign_are_left_out(tea: ExperimentStore) -> None:
    for claimant, count in (("w1", 3), ("w2", 1), ("w3", 1)):
        write_coordinator_beat(tea, claimant, count, b"{}")
    state = Path(tea.store.root) / PATHS.state_folder
    (state / "w2.beat").write_bytes((state / "w2.beat").read_bytes()[:-5])
    (state / "w3.beat").rename(state / "w4.beat")
    (state / "w1 (1).beat").write_bytes((state / "w1.beat").read_bytes())
    write_coordinator_beat(tea, "w1", 4, b"{}")
    assert {key: beat.header.sequence for key, beat in read_coordinator_beats(tea).items()} == {"w1": 4}
    (state / "w1.beat").unlink()
    assert read_coordinator_beats(tea)["w1"].header.sequence == 3


def test_the_best_claim_is_read_from_names(tea: ExperimentStore) -> None:
    assert best_claim(tea) is None
    StateLogWriter(tea, 3, "w1").append(b"{}", round=0, stage=0)
    StateLogWriter(tea, 2, "w2").append(b"{}", round=0, stage=0)
    assert best_claim(tea) == (3, "w1")
    StateLogWriter(tea, 3, "w2", resume_after=StateRef(3, 4, "w1", "")).append(b"{}", round=1, stage=0)
    best = min(("w1", "w2"), key=claimant_rank)
    assert best_claim(tea) == (3, best)
    # A record of which only a beginning is there claims as well.
    tea.store.create(PATHS.state_record(4, 1, "w9"), b"{")
    assert best_claim(tea) == (4, "w9")


def test_the_best_claim_costs_three_listings(tea: ExperimentStore) -> None:
    for epoch, claimant, after in ((1, "w1", 0), (1, "w1", 600), (1, "w1", 1600), (2, "w2", 1101)):
        log = StateLogWriter(tea, epoch, claimant, resume_after=StateRef(1, after, "w1", ""))
        log.append(b"{}", round=0, stage=0)
    done = tea.store.operations
    done.lists = done.reads = 0
    assert (best_claim(tea), done.lists, done.reads) == ((2, "w2"), 3, 0)


def test_the_highest_round_that_anybody_published(tea: ExperimentStore) -> None:
    assert highest_round_seen(tea) == -1
    tea.store.make_folder(PATHS.rollouts_folder("n0", A))
    assert highest_round_seen(tea) == -1

    def publish(node: str, life: str, number: int) -> str:
        made = Publication(node=node, incarnation=life, round=number, stage=0, payload=b"x")
        return publish_round_file(tea, made).key

    publish("n1", A, 3)
    assert highest_round_seen(tea) == 3
    publish("n1", B, 499)
    key = publish("n2", A, 501)
    publish("n2", A, 12)
    tea.store.make_folder(f"{PATHS.rollouts_parent}/Not.a.node")
    tea.store.create(f"{PATHS.rollouts_bucket('n2', A, 501)}/r000999-s9.txt", b"")
    # A name that contradicts its bucket moves nobody.
    tea.store.create(f"{PATHS.rollouts_bucket('n2', A, 501)}/r700000-s0.0.0123456789ab.rollouts", b"")
    assert highest_round_seen(tea) == 501
    tea.store.remove(key)
    assert highest_round_seen(tea) == 500
    tea.store.operations.lists = 0
    highest_round_seen(tea)
    assert tea.store.operations.lists == 1 + 2 * 4 - 1  # n0 has no bucket to list


def test_requests_are_read_once(tea: ExperimentStore) -> None:
    tea.store.remove_tree(PATHS.requests_folder)  # older experiments have none
    reader, done = RequestReader(tea), tea.store.operations
    assert reader.poll() == {}
    ids = [write_request(tea, b'{"action":"stop"}') for _ in range(2)]
    path = Path(tea.store.root) / PATHS.request(ids[0])
    path.rename(path.with_name(f"{ids[0]} (1).json"))
    found = reader.poll()
    assert {name: type(reading) for name, reading in found.items()} == dict.fromkeys(ids, Valid)
    done.reads = done.lists = 0
    assert (reader.poll(), done.reads, done.lists) == ({}, 0, 1)
    third = write_request(tea, b"{}")
    assert set(reader.poll()) == {third}
    assert set(RequestReader(tea).poll()) == {*ids, third}


def test_requests_that_are_not_whole_wait_and_damaged_ones_are_told(tea: ExperimentStore) -> None:
    reader = RequestReader(tea)
    torn, damaged = (write_request(tea, b'{"action":"stop"}') for _ in range(2))
    root = Path(tea.store.root)
    whole = (root / PATHS.request(torn)).read_bytes()
    (root / PATHS.request(torn)).write_bytes(whole[:-9])
    (root / PATHS.request(damaged)).write_bytes(b"what")
    tea.store.create(f"{PATHS.requests_folder}/notes.txt", b"")
    (root / PATHS.requests_folder / "0123456.json").write_bytes(whole)
    assert {key: type(reading) for key, reading in reader.poll().items()} == {damaged: Corrupt}
    (root / PATHS.request(torn)).write_bytes(whole)
    assert {key: type(reading) for key, reading in reader.poll().items()} == {torn: Valid}
