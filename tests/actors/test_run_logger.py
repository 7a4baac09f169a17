"""The worker's logger: rows in the node's own folder, closed in segments, kept while the folder is away."""

import getpass
import json
import platform
from pathlib import Path

import msgspec
import pytest
import tracked_for_tests as tracked
from folder_for_tests import Folder, incarnation

from actors.logger.logger import RunLogger, evaluation_events
from drive_store import StoreFull, StoreUnavailable, make_node_folders, read_segments
from swarm_ray.config.schema import LogConfig
from swarm_ray.experiments import experiment_metrics
from swarm_ray.records.metrics import Evaluation, Event, StepMetrics
from swarm_ray.records.state import Member


def row(node: str, number: int, reward: float = 0.5) -> StepMetrics:
    seconds = {"generate": 0.5, "update": 0.25}
    return msgspec.structs.replace(tracked.row(node, number), round=number, reward=reward, seconds=seconds)


def logger_of(folder: Folder, tmp_path: Path, **config: object) -> RunLogger:
    for member in tracked.NODES:
        folder.join(member.node)
        folder.registry.register(member.node, member.incarnation, b"{}")
    logger = restarted(folder, tmp_path, **config)
    logger.open_logs(tracked.NODES)
    return logger


def restarted(folder: Folder, tmp_path: Path, **config: object) -> RunLogger:
    """A logger as a killed one comes back: by its `__init__` alone."""
    return RunLogger(folder.address, LogConfig.model_validate(config), tmp_path / "spool", {"python": "3"})


def rows_of(folder: Folder) -> list[StepMetrics]:
    return experiment_metrics(str(folder.root), "small")


def segments(folder: Folder) -> list[str]:
    return sorted(p.name for p in folder.root.rglob("logs/*/*.jsonl"))


def test_rows_come_back_once_and_in_order(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path)
    rows = [row(m.node, number, reward=number / 7) for number in range(5) for m in tracked.NODES]
    for some in (rows[:2], rows[2:6], rows[6:]):
        logger.log_metrics(some)
        logger.flush()
    logger.flush()
    assert rows_of(folder) == rows
    assert len(segments(folder)) == 6


def test_a_segment_is_closed_when_it_is_old_or_large(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path, segment_bytes=2000, segment_s=3600)
    size = len(msgspec.json.encode(row("node-1", 0))) + 1
    assert size < 2000
    for number in range(11):
        logger.log_metrics([row("node-1", number)])
        assert number or segments(folder) == [], "a row waits in the spool until it is due"
    assert len(rows_of(folder)) == 11 - 11 % -(-2000 // size)
    assert len(segments(folder)) == 11 // -(-2000 // size)
    logger.flush()
    assert len(rows_of(folder)) == 11


def test_a_folder_that_goes_away_loses_no_row_and_stops_no_training(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path, segment_bytes=1)
    sentinel = folder.root / folder.paths.experiment_json
    away = sentinel.with_name("away")
    logger.log_metrics([row("node-1", 0)])
    sentinel.rename(away)
    for number in (1, 2):
        logger.log_metrics([row("node-1", number)])
    progress = logger.progress()
    assert (progress.problem != "", [e.kind for e in progress.events]) == (True, ["store"]), "said once"
    with pytest.raises(StoreUnavailable):
        logger.flush()
    away.rename(sentinel)
    logger.log_metrics([row("node-1", 3)])
    assert logger.progress().problem == ""
    assert [r.round for r in rows_of(folder)] == [0, 1, 2, 3]


def test_progress_sums_over_nodes_and_rounds(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path)
    logger.log_metrics([row("node-1", 0, 0.25), row("node-2", 0, 0.75)])
    logger.log_metrics([row("node-1", 1, 0.5)])
    logger.log_events([Event("note", str(n), "node-1") for n in range(50)])
    progress = logger.progress()
    assert [e.text for e in progress.events] == [str(n) for n in range(30, 50)]
    assert progress.rewards == (0.5, 0.5)
    assert progress.used == 6
    assert progress.seconds == {"generate": 1.5, "update": 0.75}
    assert [(r.node, r.round) for r in progress.rows] == [("node-1", 1), ("node-2", 0)]


def test_events_and_evaluations_lie_in_the_log_of_their_node(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path)
    found = Evaluation("node-2", "start", 0.25, {"coin": 0.25}, {"coin": 4})
    logger.log_events([Event("node-failed", "its loss is not finite", "node-1", 3)])
    logger.log_events(evaluation_events([found]))
    logger.flush()
    (one,) = folder.root.rglob("logs/node-1.*/events-*.jsonl")
    (two,) = folder.root.rglob("logs/node-2.*/events-*.jsonl")
    event = msgspec.json.decode(one.read_bytes().splitlines()[0], type=Event)
    assert (event.kind, event.text, event.round) == ("node-failed", "its loss is not finite", 3)
    assert event.at > "2026"
    said = msgspec.json.decode(two.read_bytes().splitlines()[0], type=Event)
    assert msgspec.json.decode(said.text, type=Evaluation) == found


def test_the_machine_is_described_without_names_of_people_or_hosts(folder: Folder, tmp_path: Path) -> None:
    logger_of(folder, tmp_path)
    (told,) = folder.root.rglob("logs/node-1.*/system_info.json")
    info = json.loads(told.read_text())
    assert info["cores"] > 0
    assert info["versions"] == {"python": "3"}
    values = [str(v) for v in info.values()]
    assert platform.node() not in values
    assert getpass.getuser() not in values


@pytest.mark.parametrize("away", [False, True])
def test_a_killed_logger_loses_no_row_and_doubles_none(folder: Folder, tmp_path: Path, *, away: bool) -> None:
    """Killed after every few rows; each life is sent the last rows of the one before again."""
    rows = [row("node-1", number, reward=number / 40) for number in range(40)]
    logger = logger_of(folder, tmp_path)
    sentinel = folder.root / folder.paths.experiment_json
    for start in range(0, 40, 4):
        if away:
            sentinel.rename(sentinel.with_name("away"))
        logger = restarted(folder, tmp_path)
        logger.log_metrics(rows[max(0, start - 3) : start + 4])
        if away:
            sentinel.with_name("away").rename(sentinel)
        if start % 12 == 0:
            logger.flush()
    logger = restarted(folder, tmp_path)
    logger.flush()
    assert rows_of(folder) == rows
    progress = logger.progress()
    assert progress.rewards == tuple(r.reward for r in rows)
    assert progress.used == 2 * len(rows)
    assert progress.seconds == {"generate": 20.0, "update": 10.0}


def test_half_a_row_in_the_spool_is_no_row(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path)
    logger.log_metrics([row("node-1", 0)])
    (spool,) = (tmp_path / "spool").glob("node-1.*.metrics.jsonl")
    spool.write_bytes(spool.read_bytes() + msgspec.json.encode(row("node-1", 1))[:50])
    logger = restarted(folder, tmp_path)
    logger.log_metrics([row("node-1", 1)])
    logger.flush()
    assert [r.step for r in rows_of(folder)] == [0, 1]


def test_a_segment_written_before_the_kill_is_not_written_again(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path)
    logger.log_metrics([row("node-1", 0), row("node-1", 1)])
    (spool,) = (tmp_path / "spool").glob("node-1.*.metrics.jsonl")
    rows = spool.read_bytes()
    logger.flush()
    spool.write_bytes(rows)  # as if it had been killed between the segment and the spool
    logger = restarted(folder, tmp_path)
    logger.log_metrics([row("node-1", 1), row("node-1", 2)])
    logger.flush()
    assert [r.step for r in rows_of(folder)] == [0, 1, 2]


def test_rows_left_behind_go_to_the_log_of_the_life_that_made_them(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path)
    logger.log_metrics([row("node-1", 0), row("node-1", 1)])
    logger = restarted(folder, tmp_path)
    later = Member("node-1", "0000abcd")
    make_node_folders(folder.address.open(), later.node, later.incarnation)
    folder.registry.register(later.node, later.incarnation, b"{}")
    logger.open_logs([later])
    logger.open_logs([later])
    logger.log_metrics([msgspec.structs.replace(row("node-1", n), incarnation="0000abcd") for n in (1, 2)])
    logger.log_events([Event("started", "again", "node-1")])
    logger.flush()
    steps = {incarnation("node-1"): [0, 1], "0000abcd": [2]}
    for name, expected in steps.items():
        lines = read_segments(folder.address.open(), "node-1", name, "metrics")
        assert [msgspec.json.decode(line, type=StepMetrics).step for line in lines] == expected
    assert len(list(read_segments(folder.address.open(), "node-1", "0000abcd", "events"))) == 1


def test_an_event_that_is_sent_twice_is_logged_once(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path)
    one = Event("note", "one", "node-1", at="2026-08-01T12:00:00.000001+00:00")
    another = msgspec.structs.replace(one, at="2026-08-01T12:00:00.000002+00:00")
    for events in ([one], [one, another], [another]):
        logger.log_events(events)
        logger = restarted(folder, tmp_path)
    logger.flush()
    lines = read_segments(folder.address.open(), "node-1", incarnation("node-1"), "events")
    assert [msgspec.json.decode(line, type=Event) for line in lines] == [one, another]


def test_a_full_disk_is_said_in_one_line(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path)
    spool = tmp_path / "spool"
    spool.rename(tmp_path / "elsewhere")
    spool.touch()
    with pytest.raises(StoreFull, match="this machine's disk"):
        logger.log_metrics([row("node-1", 0)])
