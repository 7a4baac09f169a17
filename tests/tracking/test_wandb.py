"""Weights & Biases: real wandb and its real `wandb sync`, against a stand-in for the server on loopback."""

import getpass
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from folder_for_tests import Folder
from tracked_for_tests import NODES, PREFIX, in_a_process, joined
from wandb_server_for_tests import WandbServer

from swarm_ray.experiments import experiment_metrics

KEY = "0123456789" * 4


def sync(runs: list[Path], server: WandbServer) -> None:
    """`wandb sync`, as a user would call it."""
    known = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "WANDB_ERROR_REPORTING": "false"}
    command = [str(Path(sys.executable).with_name("wandb")), "sync", "--yes", *map(str, runs)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=os.environ | known
    )
    assert done.returncode == 0, done.stderr


def test_a_run_that_was_resumed_offline_is_one_run_after_wandb_sync(folder: Folder, tmp_path: Path) -> None:
    joined(folder)
    assert in_a_process(folder, tmp_path / "spool", "0-3,4-6", "tracking.wandb=offline") == ""
    runs = sorted(folder.root.glob("experiments/small/logs/*/wandb/offline-run-*"))
    assert len(runs) == 4
    assert not list((tmp_path / "spool" / "trackers").iterdir())
    for run in runs:
        (data,) = run.glob("*.wandb")
        for name in (platform.node(), getpass.getuser()):
            assert not re.search(rf"\b{re.escape(name)}\b".encode(), data.read_bytes())
    with WandbServer() as server:
        sync(runs, server)
    assert sorted(server.runs) == [f"{PREFIX}-node-1", f"{PREFIX}-node-2"]
    for node in ("node-1", "node-2"):
        run = server.runs[f"{PREFIX}-{node}"]
        assert (run.group, run.name) == ("small", node)
        assert [line["_step"] for _, line in sorted(run.history.items())] == list(range(7))
        assert [line["reward"] for _, line in sorted(run.history.items())] == [n / 8 for n in range(7)]
        assert run.config["grpo"]["value"]["learning_rate"] > 0
    first = server.runs[f"{PREFIX}-node-1"].history
    assert first[0]["store/creates"] == 3
    assert (first[3]["pass_at_1/end"], first[3]["pass_at_1_end/coin"]) == (0.25, 0.25)


def test_online_a_restart_continues_the_run(folder: Folder, tmp_path: Path) -> None:
    joined(folder)
    with WandbServer() as server:
        known = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
        assert in_a_process(folder, tmp_path / "spool", "0-2,3-4", "tracking.wandb=online", **known) == ""
    for member in NODES:
        run = server.runs[f"{PREFIX}-{member.node}"]
        assert [line["_step"] for _, line in sorted(run.history.items())] == list(range(5))
        assert run.ended == 2
    assert not list(folder.root.glob("experiments/small/logs/*/wandb"))


def test_a_server_that_is_away_is_told_in_one_line_and_stops_nothing(folder: Folder, tmp_path: Path) -> None:
    joined(folder)
    known = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": KEY, "WANDB_INIT_TIMEOUT": "2"}
    said = in_a_process(folder, tmp_path / "spool", "0-4", "tracking.wandb=online", **known)
    assert said.startswith("wandb: CommError: ")
    assert said.endswith("it is off until the next start")
    assert KEY not in said
    assert len(experiment_metrics(str(folder.root), "small")) == 10


def test_a_process_of_wandb_that_dies_is_told_and_stops_nothing(folder: Folder, tmp_path: Path) -> None:
    joined(folder)
    spool = tmp_path / "spool"
    said = in_a_process(folder, spool, "0-39", "tracking.wandb=offline", end="core killed")
    assert said.startswith("wandb: ")
    assert len(experiment_metrics(str(folder.root), "small")) == 80
