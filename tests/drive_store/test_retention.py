"""Round files that nobody will read again are removed by their owner, at a cost that does not grow."""

from pathlib import Path

import pytest

from drive_store import (
    ExperimentPaths,
    ExperimentStore,
    Publication,
    Retention,
    Store,
    create_experiment_folder,
    publish_round_file,
)
from drive_store.errors import StoreUnavailable
from drive_store.retention import EMPTY_ROUNDS
from drive_store.testing import Faults, FaultyStore

PATHS = ExperimentPaths("tea")
A, B = "0123abcd", "89abcdef"


@pytest.fixture
def store(tmp_path: Path) -> FaultyStore:
    store = FaultyStore(str(tmp_path))
    create_experiment_folder(ExperimentStore(store, PATHS))
    return store


def publish(store: Store, number: int, attempt: int = 0, incarnation: str = A) -> str:
    return publish_round_file(
        ExperimentStore(store, PATHS),
        Publication(node="n1", incarnation=incarnation, round=number, stage=0, attempt=attempt, payload=b"x"),
    ).key


def left(store: Store, incarnation: str = A) -> list[str]:
    folder = PATHS.rollouts_folder("n1", incarnation)
    return [name for bucket in store.names(folder) for name in store.names(f"{folder}/{bucket}")]


def test_files_below_a_round_go_and_others_stay(store: Store) -> None:
    keys = {number: publish(store, number) for number in (0, 3, 498, 499, 500, 501, 1200)}
    publish(store, 3, attempt=1)
    publish(store, 3, incarnation=B)
    twin = Path(store.root) / keys[0]
    twin.with_name(twin.name.replace(".rollouts", " (1).rollouts")).write_bytes(b"twin")
    foreign = f"{PATHS.rollouts_bucket('n1', A, 0)}/desktop.ini"
    store.create(foreign, b"")
    retention = Retention(ExperimentStore(store, PATHS), "n1", A)
    assert retention.remove_below(499) == 5
    assert retention.remove_below(499) == 0
    assert retention.remove_below(501) == 2
    assert retention.remove_below(1200) == 1
    assert [name[:7] for name in left(store)] == ["desktop", "r001200"]
    assert len(left(store, B)) == 1


def test_nothing_goes_before_there_are_rounds_to_remove(store: Store) -> None:
    """The first rounds ask for those before a negative one, when the folder is not there yet."""
    retention = Retention(ExperimentStore(store, PATHS), "n1", A)
    assert [retention.remove_below(number - 2) for number in (0, 1)] == [0, 0]
    publish(store, 0)
    assert [retention.remove_below(number - 2) for number in (2, 3)] == [0, 1]


def test_kept_files_stay(store: Store) -> None:
    first, second = publish(store, 0), publish(store, 1)
    retention = Retention(ExperimentStore(store, PATHS), "n1", A)
    assert retention.remove_below(5, keep={first}) == 1
    assert store.size(first) is not None
    assert store.size(second) is None
    assert retention.remove_below(5) == 1


def test_what_came_late_goes_with_its_bucket(store: Store) -> None:
    retention = Retention(ExperimentStore(store, PATHS), "n1", A)
    for number in (1, 2, 499):
        publish(store, number)
    assert retention.remove_below(2) == 1
    publish(store, 1, attempt=1)
    assert retention.remove_below(500) == 3
    assert left(store) == []


def test_each_round_costs_a_bounded_number_of_calls(store: Store) -> None:
    kept = 8
    retention = Retention(ExperimentStore(store, PATHS), "n1", A)
    dearest = lists = 0
    for number in range(1100):
        publish(store, number)
        before = store.operations.lists
        retention.remove_below(max(0, number - kept))
        dearest = max(dearest, store.operations.lists - before)
        lists += store.operations.lists - before
    assert len(left(store)) == kept + 1
    assert dearest <= 3
    assert lists <= 1100 / kept + 15


def test_a_folder_that_is_empty_is_seldom_looked_at(store: Store) -> None:
    publish(store, 0)
    retention = Retention(ExperimentStore(store, PATHS), "n1", A)
    assert retention.remove_below(1) == 1
    store.operations.lists = 0
    for below in range(2, 102):
        assert retention.remove_below(below) == 0
    assert store.operations.lists <= 100 / EMPTY_ROUNDS + 1
    publish(store, 110)
    assert sum(retention.remove_below(below) for below in range(102, 112 + EMPTY_ROUNDS)) == 1


def test_a_new_one_goes_on_where_files_are(store: Store) -> None:
    for number in (700, 1300):
        publish(store, number)
    store.operations.lists = 0
    retention = Retention(ExperimentStore(store, PATHS), "n1", A)
    assert retention.remove_below(100) == 0
    assert Retention(ExperimentStore(store, PATHS), "n1", A).remove_below(5000) == 2
    assert left(store) == []


def test_an_error_loses_no_file_from_sight(store: FaultyStore) -> None:
    for number in range(5):
        publish(store, number)
    retention = Retention(ExperimentStore(store, PATHS), "n1", A)
    retention.remove_below(1)
    store.faults = Faults(unavailable=True)
    with pytest.raises(StoreUnavailable):
        retention.remove_below(4)
    store.faults = Faults()
    assert retention.remove_below(4) == 3
    assert len(left(store)) == 1
