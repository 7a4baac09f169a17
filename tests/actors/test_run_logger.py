"""The worker's logger: rows in the node's own folder, closed in segments, kept while the folder is away."""

from __future__ import annotations

import getpass
import json
import platform
from pathlib import Path

import msgspec
import pytest
from folder_for_tests import Folder, incarnation

from actors.logger import RunLogger
from drive_store import StoreUnavailable
from swarm_ray.config import LogConfig
from swarm_ray.experiments import experiment_metrics
from swarm_ray.records import Evaluation, Event, Member, StepCounters, StepMetrics

NODES = [Member(f"node-{n}", incarnation(f"node-{n}")) for n in (1, 2)]


def row(node: str, number: int, reward: float = 0.5, used: int = 2) -> StepMetrics:
    return StepMetrics(
        node=node,
        incarnation=incarnation(node),
        round=number,
        step=number,
        reward=reward,
        reward_by_specialty={"coin": reward},
        reward_mixed=reward,
        local=2,
        external=used,
        counters=StepCounters(used=used),
        trained=True,
        loss=0.1,
        clip_share=0.0,
        entropy=1.0,
        grad_norm=1.0,
        unfaithful=0.0,
        scoring_failures=0,
        seconds={"generate": 0.5, "update": 0.25},
    )


def logger_of(folder: Folder, tmp_path: Path, **config: object) -> RunLogger:
    for member in NODES:
        folder.join(member.node)
        folder.registry.register(member.node, member.incarnation, b"{}")
    logger = RunLogger(folder.address, LogConfig.model_validate(config), tmp_path / "spool", {"python": "3"})
    logger.open_logs(NODES)
    return logger


def rows_of(folder: Folder) -> list[StepMetrics]:
    return experiment_metrics(str(folder.root), "small")


def segments(folder: Folder) -> list[str]:
    return sorted(p.name for p in folder.root.rglob("logs/*/*.jsonl"))


def test_rows_come_back_once_and_in_order(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path)
    rows = [row(m.node, number, reward=number / 7) for number in range(5) for m in NODES]
    for start in (0, 2, 6):
        logger.log_metrics(rows[start : {0: 2, 2: 6, 6: 10}[start]])
        logger.flush()
    logger.flush()
    assert rows_of(folder) == rows
    assert len(segments(folder)) == 6


def test_a_segment_is_closed_when_it_is_old_or_large(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path, segment_bytes=2000, segment_s=3600)
    size = len(msgspec.json.encode(row("node-1", 0))) + 1
    for number in range(11):
        logger.log_metrics([row("node-1", number)])
    assert len(rows_of(folder)) == 11 - 11 % -(-2000 // size)
    assert len(segments(folder)) == 11 // -(-2000 // size)
    logger.flush()
    assert len(rows_of(folder)) == 11


def test_a_row_waits_in_the_spool_until_it_is_due(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path)
    logger.log_metrics([row("node-1", 0)])
    assert segments(folder) == []
    assert [p.name for p in (tmp_path / "spool").iterdir()] != []


def test_a_folder_that_goes_away_loses_no_row_and_stops_no_training(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path, segment_bytes=1)
    sentinel = folder.root / folder.paths.experiment_json
    away = sentinel.with_name("away")
    logger.log_metrics([row("node-1", 0)])
    sentinel.rename(away)
    logger.log_metrics([row("node-1", 1)])
    assert [e.kind for e in logger.progress().events] == ["store"]
    with pytest.raises(StoreUnavailable):
        logger.flush()
    away.rename(sentinel)
    logger.log_metrics([row("node-1", 2)])
    logger.flush()
    assert [r.round for r in rows_of(folder)] == [0, 1, 2]


def test_progress_sums_over_nodes_and_rounds(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path)
    logger.log_metrics([row("node-1", 0, 0.25), row("node-2", 0, 0.75)])
    logger.log_metrics([row("node-1", 1, 0.5)])
    progress = logger.progress()
    assert progress.rewards == (0.5, 0.5)
    assert progress.used == 6
    assert progress.seconds == {"generate": 1.5, "update": 0.75}
    assert [(r.node, r.round) for r in progress.rows] == [("node-1", 1), ("node-2", 0)]


def test_events_and_evaluations_lie_in_the_log_of_their_node(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path)
    found = Evaluation("node-2", "start", 0.25, {"coin": 0.25}, {"coin": 4})
    logger.log_events([Event("node-failed", "its loss is not finite", "node-1", 3)])
    logger.log_evaluations([found])
    logger.flush()
    (one,) = folder.root.rglob("logs/node-1.*/events-*.jsonl")
    (two,) = folder.root.rglob("logs/node-2.*/events-*.jsonl")
    event = msgspec.json.decode(one.read_bytes().splitlines()[0], type=Event)
    assert (event.kind, event.text, event.round) == ("node-failed", "its loss is not finite", 3)
    assert event.at > "2026"
    said = msgspec.json.decode(two.read_bytes().splitlines()[0], type=Event)
    assert msgspec.json.decode(said.text, type=Evaluation) == found


def test_only_the_last_events_are_shown(folder: Folder, tmp_path: Path) -> None:
    logger = logger_of(folder, tmp_path)
    logger.log_events([Event("note", str(n), "node-1") for n in range(50)])
    assert [e.text for e in logger.progress().events] == [str(n) for n in range(30, 50)]


def test_the_machine_is_described_without_names_of_people_or_hosts(folder: Folder, tmp_path: Path) -> None:
    logger_of(folder, tmp_path)
    (told,) = folder.root.rglob("logs/node-1.*/system_info.json")
    info = json.loads(told.read_text())
    assert info["cores"] > 0
    assert info["versions"] == {"python": "3"}
    values = [str(v) for v in info.values()]
    assert platform.node() not in values
    assert getpass.getuser() not in values
