"""Round files that nobody will read again are removed by their owner, at a cost that does not grow."""

from pathlib import Path

import pytest

from drive_store import ExperimentPaths, ExperimentStore, Publication, Retention, publish_round_file
from drive_store.errors import StoreUnavailable
from drive_store.retention import EMPTY_ROUNDS
from drive_store.testing import Faults

PATHS = ExperimentPaths("tea")
A, B = "0123abcd", "89abcdef"


def publish(tea: ExperimentStore, number: int, attempt: int = 0, incarnation: str = A) -> str:
    return publish_round_file(
        tea,
        Publication(node="n1", incarnation=incarnation, round=number, stage=0, attempt=attempt, payload=b"x"),
    ).key


def left(tea: ExperimentStore, incarnation: str = A) -> list[str]:
    folder = PATHS.rollouts_folder("n1", incarnation)
    return [name for bucket in tea.store.names(folder) for name in tea.store.names(f"{folder}/{bucket}")]


def test_files_below_a_round_go_and_others_stay(tea: ExperimentStore) -> None:
    keys = {number: publish(tea, number) for number in (0, 3, 498, 499, 500, 501, 1200)}
    publish(tea, 3, attempt=1)
    publish(tea, 3, incarnation=B)
    twin = Path(tea.store.root) / keys[0]
    twin.with_name(twin.name.replace(".rollouts", " (1).rollouts")).write_bytes(b"twin")
    foreign = f"{PATHS.rollouts_bucket('n1', A, 0)}/desktop.ini"
    tea.store.create(foreign, b"")
    retention = Retention(tea, "n1", A)
    assert retention.remove_below(499) == 5
    assert retention.remove_below(499) == 0
    assert retention.remove_below(501) == 2
    assert retention.remove_below(1200) == 1
    assert [name[:7] for name in left(tea)] == ["desktop", "r001200"]
    assert len(left(tea, B)) == 1


def test_nothing_goes_before_there_are_rounds_to_remove(tea: ExperimentStore) -> None:
    """The first rounds ask for those before a negative one, when the folder is not there yet."""
    retention = Retention(tea, "n1", A)
    assert [retention.remove_below(number - 2) for number in (0, 1)] == [0, 0]
    publish(tea, 0)
    assert [retention.remove_below(number - 2) for number in (2, 3)] == [0, 1]


def test_kept_files_stay_and_what_came_late_goes_with_its_bucket(tea: ExperimentStore) -> None:
    first, second, _ = (publish(tea, number) for number in (0, 1, 499))
    retention = Retention(tea, "n1", A)
    assert retention.remove_below(5, keep={first}) == 1
    assert (tea.store.size(first) is None, tea.store.size(second)) == (False, None)
    assert retention.remove_below(5) == 1
    publish(tea, 1, attempt=1)
    assert retention.remove_below(500) == 2
    assert left(tea) == []


def test_each_round_costs_a_bounded_number_of_calls(tea: ExperimentStore) -> None:
    kept = 8
    retention = Retention(tea, "n1", A)
    dearest = lists = 0
    for number in range(1100):
        publish(tea, number)
        before = tea.store.operations.lists
        retention.remove_below(max(0, number - kept))
        dearest = max(dearest, tea.store.operations.lists - before)
        lists += tea.store.operations.lists - before
    assert len(left(tea)) == kept + 1
    assert dearest <= 3
    assert lists <= 1100 / kept + 15


def test_a_folder_that_is_empty_is_seldom_looked_at(tea: ExperimentStore) -> None:
    publish(tea, 0)
    retention = Retention(tea, "n1", A)
    assert retention.remove_below(1) == 1
    tea.store.operations.lists = 0
    for below in range(2, 102):
        assert retention.remove_below(below) == 0
    assert tea.store.operations.lists <= 100 / EMPTY_ROUNDS + 1
    publish(tea, 110)
    assert sum(retention.remove_below(below) for below in range(102, 112 + EMPTY_ROUNDS)) == 1


def test_a_new_one_goes_on_where_files_are(tea: ExperimentStore) -> None:
    for number in (700, 1300):
        publish(tea, number)
    assert [Retention(tea, "n1", A).remove_below(below) for below in (100, 5000)] == [0, 2]
    assert left(tea) == []


def test_an_error_loses_no_file_from_sight(tea: ExperimentStore) -> None:
    for number in range(5):
        publish(tea, number)
    retention = Retention(tea, "n1", A)
    retention.remove_below(1)
    tea.store.faults = Faults(unavailable=True)
    with pytest.raises(StoreUnavailable):
        retention.remove_below(4)
    tea.store.faults = Faults()
    assert retention.remove_below(4) == 3
    assert len(left(tea)) == 1
