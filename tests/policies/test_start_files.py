"""What a driver asks of the embedded model's starts: are they there, without loading torch."""

import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from swarm_ray.config.load import load_config
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.machine.local_disk import cache_folder
from swarm_ray.policies.tiny.loading import TinyStart
from swarm_ray.policies.tiny.starts import all_made, start_file, start_folder, start_index, start_names
from swarm_ray.swarm import prepare_model
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Scorer

SMALL = ("tasks.specialties=[gcd]", "tasks.pool=200", "evaluation.questions=1", "policy.device=cpu")
DRIVER = """
import sys
from swarm_ray.config.load import load_config
from swarm_ray.swarm import prepare_model
config = load_config("tiny", overrides=sys.argv[1:])
prepare_model(config, ["node-0", "node-1"], None, lambda *said: print(said))
print("torch" in sys.modules)
"""


def prepare(folder: Path, start: str, said: list[str]) -> None:
    config = load_config("tiny", overrides=[*SMALL, f"policy.start={start}"])
    with Scorer(config.tasks) as verifier:
        tasks, report = TaskSet(config.tasks), lambda what, _share: said.append(what)
        TinyStart(config.policy, tasks, verifier, folder, report).prepare([0, 1])


def home_of(config: SwarmConfig, folder: Path) -> Path:
    return start_folder(config.tasks, config.policy.start_seed, folder)


@pytest.mark.parametrize("start", ["blank", "base", "C5"])
def test_what_is_all_there_and_not_torn_is_not_made_again(start: str, tmp_path: Path) -> None:
    config = load_config("tiny", overrides=[*SMALL, f"policy.start={start}"])
    prepare(tmp_path, "blank", [])  # the tokenizer, which every start has
    home, names = home_of(config, tmp_path), start_names(start, [0, 1])
    assert names == {"blank": [], "base": ["skill"], "C5": ["skill", "C5-000", "C5-001"]}[start]
    assert all_made(home, start, [0, 1]) == (start == "blank")
    whole = safetensors.torch.save({"a": torch.zeros(3)})
    for name in names:
        for torn in (b"", whole[:5], whole[:-1], b"\xff" * 20):
            start_file(home, name).write_bytes(torn)
            assert not all_made(home, start, [0, 1])
        start_file(home, name).write_bytes(whole)
    assert all_made(home, start, [0, 1])
    said: list[str] = []
    prepare(tmp_path, start, said)
    assert said == []


def test_a_driver_with_its_starts_loads_no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARM_RAY_CACHE", str(tmp_path))
    words = [*SMALL[:-1], "policy.start=blank"]
    config = load_config("tiny", overrides=words)
    home = home_of(config, cache_folder())
    assert not all_made(home, "blank", [0, 1])
    prepare_model(config, ["node-0", "node-1"], None, lambda *_: None)
    assert all_made(home, "blank", [0, 1])
    command = [sys.executable, "-c", DRIVER, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "False\n"


def test_nodes_of_several_workers_take_different_starts() -> None:
    assert [start_index(n) for n in ("node-5", "worker_2-1", "worker-1-0")] == [5, 7, 3]
    assert start_index("alice") == start_index("alice")
