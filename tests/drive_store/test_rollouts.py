"""Round files and the folders they lie in."""

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
    Valid,
    create_experiment_folder,
    find_bucket_files,
    find_round_files,
    make_node_folders,
    payload_sha256,
    publish_round_file,
    read_round_file,
)
from drive_store.names import RoundFileName, twin_name

PATHS = ExperimentPaths("tea")
A = "0123abcd"


def publish(
    tea: ExperimentStore, number: int = 17, payload: bytes = b"rollouts", attempt: int = 0
) -> PublishedFile:
    return publish_round_file(
        tea,
        Publication(
            node="n1",
            incarnation=A,
            round=number,
            stage=0,
            payload=payload,
            attempt=attempt,
            epoch=3,
            sequence=5,
        ),
    )


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
