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
    Store,
    Valid,
    best_claim,
    create_experiment_folder,
    highest_round_seen,
    publish_round_file,
    read_coordinator_beats,
    write_coordinator_beat,
    write_request,
)
from drive_store.statelog.log import claimant_rank

PATHS = ExperimentPaths("tea")
A, B = "0123abcd", "89abcdef"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path))
    create_experiment_folder(ExperimentStore(store, PATHS))
    return store


def rename(store: Store, key: str, name: str) -> None:
    path = Path(store.root) / key
    path.rename(path.with_name(name))


def test_beats_of_all_claimants(store: Store) -> None:
    assert read_coordinator_beats(ExperimentStore(store, PATHS)) == {}
    StateLogWriter(ExperimentStore(store, PATHS), 1, f"w1.{A}").append(b"{}", round=0, stage=0)
    store.create(PATHS.current_state, b"{}")
    write_coordinator_beat(ExperimentStore(store, PATHS), f"w1.{A}", 1, b'{"n":1}')
    write_coordinator_beat(ExperimentStore(store, PATHS), f"w1.{A}", 2, b'{"n":2}')
    write_coordinator_beat(ExperimentStore(store, PATHS), "w2", 7, b'{"n":7}')
    beats = read_coordinator_beats(ExperimentStore(store, PATHS))
    assert {claimant: (beat.header.sequence, beat.payload) for claimant, beat in beats.items()} == {
        f"w1.{A}": (2, b'{"n":2}'),
        "w2": (7, b'{"n":7}'),
    }
    with pytest.raises(InvalidName):
        write_coordinator_beat(ExperimentStore(store, PATHS), "../w3", 1, b"{}")


def test_beats_that_are_torn_or_foreign_are_left_out(store: Store) -> None:
    for claimant, count in (("w1", 3), ("w2", 1), ("w3", 1)):
        write_coordinator_beat(ExperimentStore(store, PATHS), claimant, count, b"{}")
    state = Path(store.root) / PATHS.state_folder
    (state / "w2.beat").write_bytes((state / "w2.beat").read_bytes()[:-5])
    (state / "w3.beat").rename(state / "w4.beat")
    (state / "w1 (1).beat").write_bytes((state / "w1.beat").read_bytes())
    write_coordinator_beat(ExperimentStore(store, PATHS), "w1", 4, b"{}")
    assert {
        key: beat.header.sequence
        for key, beat in read_coordinator_beats(ExperimentStore(store, PATHS)).items()
    } == {"w1": 4}
    (state / "w1.beat").unlink()
    assert read_coordinator_beats(ExperimentStore(store, PATHS))["w1"].header.sequence == 3


def test_the_best_claim_is_read_from_names(store: Store) -> None:
    assert best_claim(ExperimentStore(store, PATHS)) is None
    StateLogWriter(ExperimentStore(store, PATHS), 3, "w1").append(b"{}", round=0, stage=0)
    StateLogWriter(ExperimentStore(store, PATHS), 2, "w2").append(b"{}", round=0, stage=0)
    assert best_claim(ExperimentStore(store, PATHS)) == (3, "w1")
    StateLogWriter(ExperimentStore(store, PATHS), 3, "w2", resume_after=StateRef(3, 4, "w1", "")).append(
        b"{}", round=1, stage=0
    )
    best = min(("w1", "w2"), key=claimant_rank)
    assert best_claim(ExperimentStore(store, PATHS)) == (3, best)
    # A record of which only a beginning is there claims as well.
    store.create(PATHS.state_record(4, 1, "w9"), b"{")
    assert best_claim(ExperimentStore(store, PATHS)) == (4, "w9")


def test_the_best_claim_costs_three_listings(store: Store) -> None:
    for sequence in (0, 600, 1100, 1600):
        StateLogWriter(
            ExperimentStore(store, PATHS), 1, "w1", resume_after=StateRef(1, sequence, "w1", "")
        ).append(b"{}", round=0, stage=0)
    StateLogWriter(ExperimentStore(store, PATHS), 2, "w2", resume_after=StateRef(1, 1101, "w1", "")).append(
        b"{}", round=0, stage=0
    )
    store.operations.lists = store.operations.reads = 0
    assert best_claim(ExperimentStore(store, PATHS)) == (2, "w2")
    assert (store.operations.lists, store.operations.reads) == (3, 0)


def publish(store: Store, node: str, incarnation: str, number: int) -> str:
    return publish_round_file(
        ExperimentStore(store, PATHS),
        Publication(node=node, incarnation=incarnation, round=number, stage=0, payload=b"x"),
    ).key


def test_the_highest_round_that_anybody_published(store: Store) -> None:
    assert highest_round_seen(ExperimentStore(store, PATHS)) == -1
    store.make_folder(PATHS.rollouts_folder("n0", A))
    assert highest_round_seen(ExperimentStore(store, PATHS)) == -1
    publish(store, "n1", A, 3)
    assert highest_round_seen(ExperimentStore(store, PATHS)) == 3
    publish(store, "n1", B, 499)
    key = publish(store, "n2", A, 501)
    publish(store, "n2", A, 12)
    store.make_folder(f"{PATHS.rollouts_parent}/Not.a.node")
    store.create(f"{PATHS.rollouts_bucket('n2', A, 501)}/r000999-s9.txt", b"")
    # A name that contradicts its bucket moves nobody.
    store.create(f"{PATHS.rollouts_bucket('n2', A, 501)}/r700000-s0.0.0123456789ab.rollouts", b"")
    assert highest_round_seen(ExperimentStore(store, PATHS)) == 501
    store.remove(key)
    assert highest_round_seen(ExperimentStore(store, PATHS)) == 500
    store.operations.lists = 0
    highest_round_seen(ExperimentStore(store, PATHS))
    assert store.operations.lists == 1 + 2 * 4 - 1  # n0 has no bucket to list


def test_requests_are_read_once(store: Store) -> None:
    reader = RequestReader(ExperimentStore(store, PATHS))
    assert reader.poll() == {}
    ids = [write_request(ExperimentStore(store, PATHS), b'{"action":"stop"}') for _ in range(2)]
    found = reader.poll()
    assert set(found) == set(ids)
    assert all(isinstance(reading, Valid) for reading in found.values())
    store.operations.reads = store.operations.lists = 0
    assert reader.poll() == {}
    assert (store.operations.reads, store.operations.lists) == (0, 1)
    third = write_request(ExperimentStore(store, PATHS), b"{}")
    assert set(reader.poll()) == {third}
    assert set(RequestReader(ExperimentStore(store, PATHS)).poll()) == {*ids, third}


def test_requests_that_are_not_whole_wait_and_damaged_ones_are_told(store: Store) -> None:
    reader = RequestReader(ExperimentStore(store, PATHS))
    torn, damaged = (write_request(ExperimentStore(store, PATHS), b'{"action":"stop"}') for _ in range(2))
    root = Path(store.root)
    whole = (root / PATHS.request(torn)).read_bytes()
    (root / PATHS.request(torn)).write_bytes(whole[:-9])
    (root / PATHS.request(damaged)).write_bytes(b"what")
    store.create(f"{PATHS.requests_folder}/notes.txt", b"")
    (root / PATHS.requests_folder / "0123456.json").write_bytes(whole)
    assert {key: type(reading) for key, reading in reader.poll().items()} == {damaged: Corrupt}
    (root / PATHS.request(torn)).write_bytes(whole)
    assert {key: type(reading) for key, reading in reader.poll().items()} == {torn: Valid}


def test_a_request_under_a_twins_name_counts(store: Store) -> None:
    request = write_request(ExperimentStore(store, PATHS), b"{}")
    rename(store, PATHS.request(request), f"{request} (1).json")
    reader = RequestReader(ExperimentStore(store, PATHS))
    assert set(reader.poll()) == {request}
    assert reader.poll() == {}


def test_older_experiments_have_no_folder_for_requests(store: Store) -> None:
    store.remove_tree(PATHS.requests_folder)
    reader = RequestReader(ExperimentStore(store, PATHS))
    assert reader.poll() == {}
    assert {write_request(ExperimentStore(store, PATHS), b"{}")} == set(reader.poll())
