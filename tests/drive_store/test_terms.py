"""What a successor asks of the folder: beats, claims, the highest round; and requests."""

from pathlib import Path

import pytest

from drive_store import (
    Corrupt,
    ExperimentPaths,
    ExperimentStore,
    InvalidName,
    Publication,
    RequestReader,
    StateLogWriter,
    StateRef,
    Valid,
    best_claim,
    highest_round_seen,
    publish_round_file,
    read_coordinator_beats,
    write_coordinator_beat,
    write_request,
)
from drive_store.statelog.log import claimant_rank

PATHS = ExperimentPaths("tea")
A, B = "0123abcd", "89abcdef"


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


def publish(tea: ExperimentStore, node: str, incarnation: str, number: int) -> str:
    return publish_round_file(
        tea, Publication(node=node, incarnation=incarnation, round=number, stage=0, payload=b"x")
    ).key


def test_the_highest_round_that_anybody_published(tea: ExperimentStore) -> None:
    assert highest_round_seen(tea) == -1
    tea.store.make_folder(PATHS.rollouts_folder("n0", A))
    assert highest_round_seen(tea) == -1
    publish(tea, "n1", A, 3)
    assert highest_round_seen(tea) == 3
    publish(tea, "n1", B, 499)
    key = publish(tea, "n2", A, 501)
    publish(tea, "n2", A, 12)
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
