"""Round files, the folders they lie in, and their removal by their owner at a cost that does not grow."""

from pathlib import Path

import pytest

from drive_store import (
    Corrupt,
    ExperimentPaths,
    ExperimentStore,
    NameTaken,
    NotYet,
    Publication,
    PublishedFile,
    Reading,
    Rejected,
    Retention,
    Valid,
    create_experiment_folder,
    find_bucket_files,
    find_round_files,
    make_node_folders,
    payload_sha256,
    publish_round_file,
    read_round_file,
)
from drive_store.errors import StoreUnavailable
from drive_store.names import RoundFileName, twin_name
from drive_store.retention import EMPTY_ROUNDS
from drive_store.testing import Faults

PATHS = ExperimentPaths("tea")
A, B = "0123abcd", "89abcdef"


def publish(
    tea: ExperimentStore, number: int = 17, payload: bytes = b"rollouts", attempt: int = 0, life: str = A
) -> PublishedFile:
    place = {"round": number, "stage": 0, "attempt": attempt, "epoch": 3, "sequence": 5}
    return publish_round_file(tea, Publication(node="n1", incarnation=life, payload=payload, **place))


def read(
    tea: ExperimentStore, key: str, sha256: str | None = None, node: str = "n1", limit: int = 1000
) -> Reading:
    return read_round_file(tea, key, node=node, incarnation=A, sha256=sha256, max_payload=limit)


def test_the_folders_are_those_that_people_expect(tea: ExperimentStore) -> None:
    parts = ["checkpoints", "logs", "peers", "requests", "rewards", "rollouts", "state", "winners"]
    create_experiment_folder(tea)
    make_node_folders(tea, "n1", A)
    assert sorted({*tea.store.names(PATHS.folder)} - {"experiment.json"}) == parts
    for part in ("checkpoints", "logs", "rollouts"):
        assert tea.store.names(f"{PATHS.folder}/{part}") == [f"n1.{A}"]


def test_a_published_file_is_found_and_read(tea: ExperimentStore) -> None:
    file = publish(tea)
    assert file.sha256 == payload_sha256(b"rollouts")
    assert file.size == tea.store.size(file.key)
    [(key, name)] = find_round_files(tea, "n1", A, 17)
    assert key == file.key
    assert name == RoundFileName(17, 0, 0, file.sha256[:12])
    reading = read(tea, key, file.sha256)
    assert isinstance(reading, Valid)
    assert reading.payload == b"rollouts"
    assert (reading.header.epoch, reading.header.round, reading.header.sequence) == (3, 17, 5)


def test_a_damaged_file_needs_the_next_attempt(tea: ExperimentStore) -> None:
    file = publish(tea)
    assert publish(tea) == file, "publishing again is harmless"
    Path(tea.store.root, file.key).write_bytes(b"damaged")
    with pytest.raises(NameTaken):
        publish(tea)
    again = publish(tea, attempt=1)
    assert again.sha256 == file.sha256
    assert [name.attempt for _, name in find_round_files(tea, "n1", A, 17)] == [0, 1]
    assert isinstance(read(tea, file.key), Corrupt)
    assert isinstance(read(tea, again.key), Valid)


def test_a_round_costs_one_listing_and_a_publication_one_write(tea: ExperimentStore) -> None:
    publish(tea)
    done = tea.store.operations
    before = (done.creates, done.lists, done.reads)
    publish(tea, 18)
    assert (done.creates, done.lists, done.reads) == (before[0] + 1, before[1], before[2])
    find_round_files(tea, "n1", A, 17)
    assert done.lists == before[1] + 1


def test_rounds_share_buckets(tea: ExperimentStore) -> None:
    for number in (499, 0, 500, 7):
        publish(tea, number)
    assert [name.round for _, name in find_bucket_files(tea, "n1", A, 3)] == [0, 7, 499]
    assert [name.round for _, name in find_round_files(tea, "n1", A, 500)] == [500]
    assert find_round_files(tea, "n1", A, 8) == find_round_files(tea, "n2", A, 8) == []


def test_a_twin_is_one_file_with_what_it_doubles(tea: ExperimentStore) -> None:
    file = publish(tea)
    twin = twin_name(file.key, 1)
    Path(tea.store.root, twin).write_bytes(Path(tea.store.root, file.key).read_bytes())
    assert [key for key, _ in find_round_files(tea, "n1", A, 17)] == [file.key]
    Path(tea.store.root, file.key).unlink()
    assert [key for key, _ in find_round_files(tea, "n1", A, 17)] == [twin]
    assert isinstance(read(tea, twin, file.sha256), Valid)
    assert isinstance(read(tea, file.key, file.sha256), Valid), "by the name in a state record"


def test_what_the_state_record_does_not_name_is_rejected(tea: ExperimentStore) -> None:
    file = publish(tea)
    for wrong in ({"sha256": "00" * 32}, {"node": "n2"}, {"limit": 7}):
        assert isinstance(read(tea, file.key, **wrong), Rejected)
    assert isinstance(read(tea, PATHS.round_file("n1", A, 18, 0, 0, file.sha256)), NotYet)
    Path(tea.store.root, file.key).unlink()
    Path(tea.store.root, file.key).mkdir()
    assert isinstance(read(tea, file.key), Rejected)


@pytest.mark.parametrize("change", [{"round": 18}, {"stage": 1}, {"payload_hash": "ab" * 32}])
def test_a_file_under_a_false_name_is_rejected(tea: ExperimentStore, change: dict[str, int | str]) -> None:
    file = publish(tea)
    data = Path(tea.store.root, file.key).read_bytes()
    true_name: dict[str, int | str] = {"round": 17, "stage": 0, "attempt": 1, "payload_hash": file.sha256}
    tea.store.create(key := PATHS.round_file("n1", A, **true_name), data)  # type: ignore[arg-type]
    assert isinstance(read(tea, key), Valid)
    tea.store.create(key := PATHS.round_file("n1", A, **(true_name | change)), data)  # type: ignore[arg-type]
    assert isinstance(read(tea, key), Rejected)


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "", "a\0b", "x" * 400])
def test_a_hostile_key_in_a_state_record_is_rejected(tea: ExperimentStore, key: str) -> None:
    assert isinstance(read(tea, key), Rejected)


def left(tea: ExperimentStore, incarnation: str = A) -> list[str]:
    folder = PATHS.rollouts_folder("n1", incarnation)
    return [name for bucket in tea.store.names(folder) for name in tea.store.names(f"{folder}/{bucket}")]


def test_files_below_a_round_go_and_others_stay(tea: ExperimentStore) -> None:
    keys = {number: publish(tea, number).key for number in (0, 3, 498, 499, 500, 501, 1200)}
    publish(tea, 3, attempt=1)
    publish(tea, 3, life=B)
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
    first, second, _ = (publish(tea, number).key for number in (0, 1, 499))
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
