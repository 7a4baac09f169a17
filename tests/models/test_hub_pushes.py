"""Pushing to the Hub, against a stand-in of its HTTP API and with the real client."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from actors_for_tests import OneProcessSwarm
from hub_for_tests import TOKEN, StandInHub, stand_in_hub
from huggingface_hub import constants
from swarm_for_tests import small_config
from transformers import AutoModelForCausalLM, AutoTokenizer

from swarm_ray.config.schema import HubConfig
from swarm_ray.errors import UserError
from swarm_ray.models.hub import require_hub

# The client sends a large file in a way that its own transport deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
NODES = ["node-0", "node-1"]
PUSHED = r"small: (node-[01]), step (\d), round (\d)"


def trained(root: Path, **changes: object) -> tuple[OneProcessSwarm, tuple[str, ...]]:
    """A swarm that has run to its end with pushes every second round, and what it could not bring away."""
    settings: dict[str, object] = {"hub__repository": "me/swarm", "hub__every": 2, "checkpoint__every": 1}
    settings |= {"rounds": 4, "pace__expect": 2}
    with OneProcessSwarm(root, small_config(**settings | changes), [NODES]) as swarm:
        (result,) = swarm.results()
    assert (result.rounds, result.problems, result.stopped) == (4, {}, "")
    return swarm, result.left


def told(swarm: OneProcessSwarm) -> list[str]:
    """What the events of the run say of the Hub."""
    lines = [line for path in swarm.root.rglob("events-*.jsonl") for line in path.read_text().splitlines()]
    found = [event for event in map(json.loads, lines) if event.get("kind") == "hub"]
    return [event["text"] for event in sorted(found, key=lambda event: event["at"])]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with stand_in_hub() as server:
        yield server


def test_models_are_pushed_beside_the_rounds(tmp_path: Path, hub: StandInHub) -> None:
    swarm, left = trained(tmp_path / "My Drive")
    assert left == ()
    assert sorted(hub.repositories) == ["me/swarm-node-0", "me/swarm-node-1"]
    for node in swarm.trainers[0].nodes:
        repository = hub.repositories[f"me/swarm-{node.id}"]
        assert repository.private
        found = [re.fullmatch(PUSHED, commit.message) for commit in repository.commits]
        assert {match[1] for match in found} == {node.id}
        steps = [int(match[2]) for match in found]
        assert steps == sorted(set(steps))
        assert steps[-1] == node.step == 4
        assert [f"step-{step}" for step in steps] == list(repository.tags)
        folder = repository.checkout(tmp_path / f"from the hub {node.id}")
        weights = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
        ours = node.policy.model.state_dict().items()
        assert all(torch.equal(value, weights[name]) for name, value in ours)
        assert AutoTokenizer.from_pretrained(folder).encode("Toss") == node.policy.tokenizer.encode("Toss")
        assert f"# {node.id} of small, step 4" in (folder / "README.md").read_text()
    pushed = [text for text in told(swarm) if text.startswith("pushed step ")]
    assert len(pushed) == sum(len(repository.commits) for repository in hub.repositories.values())
    assert "pushed step 4, round 3 to me/swarm-node-0" in pushed
    assert_nowhere(TOKEN, tmp_path, Path(os.environ["SWARM_RAY_STATE"]))


def assert_nowhere(secret: str, *folders: Path) -> None:
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 20
    assert [file for file in files if secret.encode() in file.read_bytes()] == []


def test_a_push_that_fails_ends_no_training(tmp_path: Path, hub: StandInHub) -> None:
    hub.refuses = 10**6
    swarm, left = trained(tmp_path / "My Drive", hub__every=1)
    assert [line.partition(",")[0] for line in left] == [f"{node}: its last model" for node in NODES]
    assert all("You may not write here." in line for line in left)
    assert all("swarm-ray export-model writes it to a folder" in line for line in left)
    for node in NODES:
        trouble = [text for text in told(swarm) if f"me/swarm-{node}" in text]
        assert len(trouble) == 1, "the same trouble is told once"
        assert trouble[0].startswith("the push to the Hugging Face Hub fails: me/swarm-")
    assert hub.repositories == {}
    asked = hub.asked.count("POST /api/repos/create")
    assert asked >= 2 * len(NODES), "it was tried again"


def test_a_push_that_works_again_is_told(tmp_path: Path, hub: StandInHub) -> None:
    hub.refuses = 1
    swarm, left = trained(tmp_path / "My Drive", nodes=1, hub__every=1, external=0, pace__expect=1)
    assert left == ()
    troubles = [text for text in told(swarm) if not text.startswith("pushed")]
    assert troubles[1:] == ["the push to the Hugging Face Hub works again"]


def test_a_hub_that_does_not_answer_is_waited_for_so_long(tmp_path: Path, hub: StandInHub) -> None:
    with hub.silence():
        _, left = trained(tmp_path / "My Drive", pace__drain_s=0.5)
    assert left
    assert all(line.endswith("time ran out; swarm-ray export-model writes it to a folder") for line in left)


def refusal(**hub: object) -> str:
    with pytest.raises(UserError) as error:
        require_hub(HubConfig.model_validate({"repository": "me/swarm", **hub}), NODES)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_without_a_token_nothing_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    assert "set HF_TOKEN to one that may write, or log in by `hf auth login`" in refusal()
    (tmp_path / "token").write_text(TOKEN)
    require_hub(HubConfig(repository="me/swarm"), NODES)
    require_hub(HubConfig(), NODES)


def test_an_impossible_repository_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for name in ("swarm", "me/", "/swarm"):
        assert f"hub.repository={name!r} is not possible; it must be owner/name" in refusal(repository=name)
    assert "is not possible with node node-0" in refusal(repository="me/swarm ray")
    assert TOKEN not in refusal(repository=f"me/{'x' * 99}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refusal()
