"""What trackers write reaches the folder whole and once, whatever becomes of the process that wrote it."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from folder_for_tests import Folder
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tracked_for_tests import NODES, in_a_process, joined, logger_of, row

from drive_store import ExperimentStore, StoreError, StoreUnavailable
from swarm_ray.tracking.tracker import TrackerFiles

LOGS = "experiments/small/logs"


def scalars(folder: Path, figure: str) -> list[tuple[int, float]]:
    """What TensorBoard's own reader finds."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(figure)]


def test_what_a_killed_process_left_is_copied_by_the_next_start(folder: Folder, tmp_path: Path) -> None:
    joined(folder)
    spool, asked = tmp_path / "spool", ("tracking.wandb=offline", "tracking.tensorboard=true")
    in_a_process(folder, spool, "0-11", *asked, end="killed")
    left = sorted(path.name for path in spool.glob("trackers/node-1.*/*"))
    assert left == ["tensorboard", "wandb"]
    logger = logger_of(folder.address, spool)
    assert not list((spool / "trackers").iterdir())
    logger.close()
    (run,) = folder.root.glob(f"{LOGS}/node-1.*/wandb/offline-run-*")
    assert [path.suffix for path in run.iterdir()] == [".wandb"]
    (events,) = folder.root.glob(f"{LOGS}/node-1.*/tensorboard/*")
    assert platform.node() not in events.name.split(".")


def test_tensorboard_reads_back_what_the_rows_say(folder: Folder, tmp_path: Path) -> None:
    joined(folder)
    for steps in (range(3), range(3, 5)):
        logger = logger_of(folder.address, tmp_path / "spool", "tracking.tensorboard=true")
        logger.open_logs(NODES)
        logger.log_metrics([row(member.node, step) for step in steps for member in NODES])
        logger.close()
        assert logger.progress().remark == ""
    for member in NODES:
        home = folder.root / LOGS / f"{member.node}.{member.incarnation}" / "tensorboard"
        assert scalars(home, "reward") == [(step, step / 8) for step in range(5)]
        assert scalars(home, "loss") == [(step, 0.25) for step in range(1, 5)]
        assert scalars(home, "reward_by_specialty/coin") == [(step, step / 8) for step in range(5)]


@pytest.fixture
def files(folder: Folder, tmp_path: Path) -> TrackerFiles:
    return TrackerFiles(ExperimentStore(joined(folder).store, folder.paths), tmp_path / "kept")


def written(files: TrackerFiles) -> None:
    """A run of wandb that waits to be copied."""
    run = files.home("node-1", NODES[0].incarnation) / "wandb" / "offline-run-1"
    (run / "files").mkdir(parents=True)
    (run / "run-1.wandb").write_bytes(b"whole")
    (run / "files" / "config.yaml").write_bytes(b"a: 1")


def test_a_copy_that_broke_off_does_not_stand_in_the_way(folder: Folder, files: TrackerFiles) -> None:
    written(files)
    logs = folder.root / LOGS / f"node-1.{NODES[0].incarnation}" / "wandb"
    (logs / "offline-run-1").mkdir(parents=True)
    (logs / "offline-run-1" / "run-1.wandb").write_bytes(b"who")
    files.copy_all()
    assert (logs / "offline-run-1-1" / "run-1.wandb").read_bytes() == b"whole"
    assert (logs / "offline-run-1-1" / "files" / "config.yaml").read_bytes() == b"a: 1"
    assert not files.waiting


def test_a_copy_that_was_whole_is_not_made_again(folder: Folder, files: TrackerFiles) -> None:
    for _ in range(2):  # as if the process had been killed before it removed its own
        written(files)
        files.copy_all()
    found = folder.root.glob(f"{LOGS}/node-1.*/wandb/*/*.wandb")
    assert [path.parent.name for path in found] == ["offline-run-1"]


def test_files_wait_while_the_folder_is_away(folder: Folder, tmp_path: Path) -> None:
    joined(folder)
    logger = logger_of(folder.address, tmp_path / "spool", "tracking.tensorboard=true")
    logger.open_logs(NODES)
    logger.log_metrics([row("node-1", 0)])
    sentinel = folder.root / folder.paths.experiment_json
    sentinel.rename(sentinel.with_name("away"))
    with pytest.raises(StoreUnavailable):
        logger.close()
    assert "waits on this machine's disk" in logger.progress().remark
    sentinel.with_name("away").rename(sentinel)
    logger.close()
    assert len(list(folder.root.glob(f"{LOGS}/node-1.*/tensorboard/*"))) == 1


def test_a_name_that_is_no_incarnation_builds_no_path(files: TrackerFiles, tmp_path: Path) -> None:
    (tmp_path / "kept" / "no.. such").mkdir(parents=True)
    with pytest.raises((StoreError, ValueError)):
        files.copy_all()
