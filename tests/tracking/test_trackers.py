"""What trackers are given, what happens when one fails, and that their files reach the folder whole and once."""

import platform
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from folder_for_tests import Folder
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tracked_for_tests import NODES, in_a_process, joined, logger_of, row

from drive_store import ExperimentStore, StoreError, StoreUnavailable
from swarm_ray.config.schema import TrackingConfig
from swarm_ray.errors import UserError
from swarm_ray.records.metrics import Evaluation
from swarm_ray.tracking.factory import require_ray_default, require_trackers
from swarm_ray.tracking.prometheus import Gauge, PrometheusTracker
from swarm_ray.tracking.tracker import (
    TrackedStep,
    TrackerFailed,
    TrackerFeed,
    TrackerFiles,
    tracked_evaluation,
    tracked_row,
)


class LocalJson:
    """Keeps rows; fails at a step, and holds the thread up until it may go on."""

    def __init__(self, name: str, fails_at: int = -1, holds: threading.Event | None = None) -> None:
        self.name, self.steps, self.closed = name, list[int](), 0
        self._fails_at, self._holds = fails_at, holds

    def log(self, told: TrackedStep) -> None:
        if self._holds is not None:
            assert self._holds.wait(60)
        if told.step == self._fails_at:
            raise TrackerFailed("the server has gone")
        self.steps.append(told.step)

    def close(self) -> None:
        self.closed += 1


def test_a_tracker_that_fails_is_told_once_and_the_others_go_on() -> None:
    told: list[str] = []
    well, ill = LocalJson("well"), LocalJson("ill", fails_at=2)
    feed = TrackerFeed([ill, well], told.append)
    for step in range(6):
        feed.log(tracked_row(row("node-1", step)))
    assert feed.close(60)
    assert feed.close(60)
    assert (ill.steps, well.steps) == ([0, 1], list(range(6)))
    assert told == ["ill: the server has gone; it is off until the next start"]
    assert (ill.closed, well.closed) == (1, 1)


def test_a_slow_tracker_holds_nobody_up() -> None:
    may_go_on = threading.Event()
    slow = LocalJson("slow", holds=may_go_on)
    feed = TrackerFeed([slow], lambda _: None)
    for step in range(3):
        feed.log(tracked_row(row("node-1", step)))
    assert not feed.close(0.0)
    may_go_on.set()
    assert feed.close(60)
    assert slow.steps == [0, 1, 2]


def test_a_figure_that_there_is_none_of_is_left_out() -> None:
    first, second = (tracked_row(row(node, step)).figures for step, node in enumerate(("node-1", "node-2")))
    assert "loss" not in first
    assert second["loss"] == 0.25
    assert (first["store/creates"], first["store/bytes_written"]) == (3, 20)
    assert not [name for name in second if name.startswith("store/")]
    assert (second["round"], second["step"], second["rejected"], second["seconds/generate"]) == (2, 1, 1, 0.5)


def test_pass_at_1_is_told_at_a_step_of_its_node() -> None:
    found = Evaluation("node-1", "start", 0.5, {"coin": 0.5}, {"coin": 4})
    told = tracked_evaluation(found, "00000001", 7)
    assert (told.node, told.incarnation, told.step) == ("node-1", "00000001", 7)
    assert told.figures == {"pass_at_1/start": 0.5, "pass_at_1_start/coin": 0.5}
    nothing = Evaluation("node-1", "end", None, {}, {})
    assert tracked_evaluation(nothing, "00000001", 7).figures == {}


def test_gauges_stand_for_the_newest_row_of_each_node() -> None:
    made: dict[str, tuple[str, ...]] = {}
    values: dict[tuple[str, str, str], float | None] = {}

    class Noted:
        def __init__(self, name: str) -> None:
            self._name = name

        def set(self, value: float | None, tags: dict[str, str]) -> None:
            values[self._name, tags["node"], tags.get("of", "")] = value

    def make(name: str, meaning: str, tags: tuple[str, ...]) -> Gauge:
        assert meaning.endswith(".")
        assert name not in made
        made[name] = tags
        return Noted(name)

    tracker = PrometheusTracker("small", make)
    for step in (0, 1):
        for node in ("node-1", "node-2"):
            tracker.log(tracked_row(row(node, step)))
    assert values["swarm_step", "node-2", ""] == 1
    assert values["swarm_reward_by_specialty", "node-1", "coin"] == 1 / 8
    assert made["swarm_reward"] == ("experiment", "node")
    assert made["swarm_seconds"] == ("experiment", "node", "of")


@pytest.mark.parametrize(
    ("package", "asked", "said"),
    [
        ("wandb", {"wandb": "offline"}, "pip install 'swarm-ray[wandb]'"),
        ("tensorboard", {"tensorboard": True}, "pip install 'swarm-ray[tensorboard]'"),
        ("prometheus_client", {"prometheus": True}, "pip install 'ray[default]'"),
    ],
)
def test_what_is_not_installed_is_said_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, package: str, asked: dict[str, object], said: str
) -> None:
    require_trackers(TrackingConfig.model_validate(asked))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=re.escape(said) + "$"):
        require_trackers(TrackingConfig.model_validate(asked))
    require_trackers(TrackingConfig())


def test_a_dashboard_without_its_packages_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp_cors", None)
    with pytest.raises(UserError, match="--dashboard needs aiohttp_cors, which is not installed"):
        require_ray_default("--dashboard")


def test_online_without_a_key_is_said_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("NETRC", f"{tmp_path}/none")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    online = TrackingConfig(wandb="online")
    with pytest.raises(UserError, match=r"set WANDB_API_KEY, run `wandb login`"):
        require_trackers(online)
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    require_trackers(online)


def test_trackers_load_neither_torch_nor_ray() -> None:
    code = (
        "import sys; from swarm_ray.tracking import factory; import wandb;"
        "from tensorboard.summary.writer import event_file_writer;"
        "sys.exit(' '.join({'torch', 'ray', 'tensorflow', 'transformers'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


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
