"""What trackers are given, which there are, and what happens when one fails."""

from __future__ import annotations

import re
import subprocess
import sys
import threading

import pytest
from tracked_for_tests import row

from swarm_ray.config.schema import TrackingConfig
from swarm_ray.errors import UserError
from swarm_ray.records.metrics import Evaluation
from swarm_ray.tracking.factory import require_ray_default, require_trackers
from swarm_ray.tracking.prometheus import Gauge, PrometheusTracker
from swarm_ray.tracking.tracker import (
    TrackedStep,
    TrackerFailed,
    TrackerFeed,
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


def test_online_without_a_key_is_said_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
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
