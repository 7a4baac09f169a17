"""Which of a node's checkpoints in the folder is meant by a step, `last` and `best`."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from drive_store import ExperimentStore, Registry, Store, make_node_folders
from drive_store.checkpoints.local import LocalCheckpoints
from drive_store.checkpoints.stored import StoredCheckpoints
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import UserError
from swarm_ray.experiments.folder import ExperimentAddress, create_experiment
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.models.checkpoints import NodeCheckpoints, Which, nodes_with_checkpoints
from swarm_ray.records.nodes import Registration

OLD, NEW, STRAY = "ffffffff", "0000000a", "77777777"


class Folder:
    """An experiment with checkpoints of nobody's making."""

    def __init__(self, place: Path) -> None:
        self.root, self._own = place / "My Drive", place / "own"
        address = ExperimentAddress(str(self.root), "tea")
        create_experiment(address, SwarmConfig(), claimant="c.0a0b0c0d")
        self.paths, store = address.paths, Store(str(self.root))
        store.attach(self.paths.experiment_json)
        self.opened = ExperimentStore(store, self.paths)

    def register(self, incarnation: str, succeeds: str = "") -> None:
        make_node_folders(self.opened, "node-0", incarnation)
        said = Registration("node-0", incarnation, "here", "", {}, "", succeeds=succeeds)
        Registry(self.opened).register("node-0", incarnation, msgspec.json.encode(said))

    def upload(self, incarnation: str, step: int, score: float | None, node: str = "node-0") -> None:
        own = LocalCheckpoints(self._own / node, "tea", node)
        files = {name: f"{incarnation}/{step}".encode() for name in ("weights.safetensors", "state.json")}
        local = own.write(step, incarnation, files | {"optimizer.safetensors": b"large"}, score)
        manifest = own.manifest(local)
        assert not isinstance(manifest, str)
        StoredCheckpoints(self.opened, node).upload(local, manifest, [f.name for f in manifest.files])

    def checkpoints(self, node: str = "node-0") -> NodeCheckpoints:
        self.problems: list[str] = []
        return NodeCheckpoints(open_experiment(str(self.root), "tea"), node, self.problems)

    def choice(self, which: Which) -> tuple[str, int]:
        place = self.checkpoints().candidates(which)[0].stored
        return place.incarnation, place.step


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_successors_checkpoint_is_newer_whatever_its_step(folder: Folder) -> None:
    """What was thought dead may have gone on; and a name says nothing of when it was given."""
    folder.register(OLD)
    folder.register(NEW, succeeds=OLD)
    for incarnation, step in [(OLD, 5), (OLD, 9), (NEW, 5), (NEW, 6), (STRAY, 99)]:
        folder.upload(incarnation, step, None)
    assert folder.choice("last") == (NEW, 6)
    assert folder.choice(5) == (NEW, 5)
    assert folder.choice(9) == (OLD, 9)
    assert folder.checkpoints().listed() == "steps 6 (best), 5, 9, 99"


def test_a_circle_of_successors_ends(folder: Folder) -> None:
    folder.register(OLD, succeeds=NEW)
    folder.register(NEW, succeeds=OLD)
    folder.upload(NEW, 3, None)
    assert folder.choice("last") == (NEW, 3)


def test_the_best_is_that_with_the_highest_reward_the_newer_of_equals(folder: Folder) -> None:
    folder.register(OLD)
    for step, score in [(1, 0.5), (2, 0.7), (3, 0.7), (4, None), (5, 0.2)]:
        folder.upload(OLD, step, score)
    assert folder.choice("best") == (OLD, 3)
    assert folder.checkpoints().listed() == "steps 5, 4, 3 (best), 2, 1"


def test_a_copy_is_verified_and_without_the_optimizer(folder: Folder, tmp_path: Path) -> None:
    folder.register(OLD)
    folder.upload(OLD, 7, 0.1)
    (tmp_path / "here").mkdir()
    copied = folder.checkpoints().fetch("last", tmp_path / "here")
    assert copied.file("weights.safetensors").read_bytes() == b"ffffffff/7"
    names = sorted(path.name for path in copied.path.iterdir())
    assert names == ["manifest.json", "state.json", "weights.safetensors"]


def test_the_best_that_is_damaged_gives_way_to_the_next(folder: Folder, tmp_path: Path) -> None:
    folder.register(OLD)
    folder.upload(OLD, 1, 0.5)
    folder.upload(OLD, 2, 0.9)
    best = folder.root / folder.paths.checkpoint("node-0", OLD, 2)
    (best / "weights.safetensors").write_bytes(b"ffffffff/3")
    assert folder.checkpoints().fetch("best", tmp_path / "here").step == 1
    assert folder.problems == [
        "the folder's checkpoint of node-0 at step 2 is not used: its weights.safetensors is not what the manifest says"
    ]


def test_many_nodes_and_names_that_are_none(folder: Folder) -> None:
    with pytest.raises(UserError, match="has no checkpoint in the folder yet"):
        folder.checkpoints()
    for number in range(12):
        folder.upload(OLD, 1, None, node=f"node-{number}")
    (folder.root / folder.paths.checkpoints_parent / "<b>.0123abcd").mkdir()
    assert "<b>" not in nodes_with_checkpoints(open_experiment(str(folder.root), "tea"))
    with pytest.raises(UserError, match=r"no checkpoint of other; it has of node-0, .* and 3 more"):
        folder.checkpoints("other")


def test_a_mistake_is_told_without_torch() -> None:
    code = "import sys, swarm_ray.models.export; print({'torch', 'ray', 'transformers'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=100) == "set()\n"
