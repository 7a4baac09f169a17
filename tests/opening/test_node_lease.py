"""Whether a node id is free: by the lock of its machine, or by the silence of its beats."""

from pathlib import Path

import msgspec
import pytest
from folder_for_tests import Folder

from swarm_ray.config.schema import PaceConfig
from swarm_ray.errors import NodeTakenError
from swarm_ray.experiments.folder import local_folder
from swarm_ray.machine.local_disk import Lock
from swarm_ray.observe.display import Display
from swarm_ray.records.nodes import Beat, NodeTotals, Registration
from swarm_ray.runtime.node_lease import wait_for_lease

PACE = PaceConfig(beat_s=1, dead_after_s=20)


class Elsewhere:
    """A node on another machine, which beats as often as it is told to; and a clock that its beats move."""

    def __init__(self, folder: Folder, *, beats: int) -> None:
        self.folder, self.now, self._left, self._count = folder, 0.0, beats, 0
        folder.join("node-1")
        said = Registration("node-1", "00000001", "elsewhere", "", {}, "")
        folder.registry.register("node-1", "00000001", msgspec.json.encode(said))
        self.beat()

    def beat(self, **said: object) -> None:
        self._count += 1
        beat = Beat(self._count, 3, 4, "training", NodeTotals(), progress=self._count)
        payload = msgspec.json.encode(msgspec.structs.replace(beat, **said))
        self.folder.registry.write_beat("node-1", "00000001", self._count, payload)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self._left > 0:
            self._left -= 1
            self.beat()

    def wait(self, node: str = "node-1") -> float:
        wait_for_lease(self.folder.address, node, PACE, Display(), clock=lambda: self.now, sleep=self.sleep)
        return self.now


def test_a_new_id_is_free_at_once_and_a_node_that_is_silent_for_long_gone(tmp_path: Path) -> None:
    elsewhere = Elsewhere(Folder(tmp_path), beats=0)
    assert elsewhere.wait("node-2") == 0
    assert elsewhere.wait() >= PACE.dead_after_s


def test_a_node_that_lives_elsewhere_is_taken(tmp_path: Path) -> None:
    with pytest.raises(NodeTakenError, match="node-1 is alive on another machine"):
        Elsewhere(Folder(tmp_path), beats=3).wait()


@pytest.mark.parametrize("goodbye", [{"done": True}, {"problem": "stopped"}])
def test_one_that_said_goodbye_is_not_waited_for(tmp_path: Path, goodbye: dict[str, object]) -> None:
    node = Elsewhere(Folder(tmp_path), beats=0)
    node.beat(**goodbye)
    assert node.wait() == 0


def test_one_of_this_machine_is_known_by_its_lock(tmp_path: Path) -> None:
    node = Elsewhere(Folder(tmp_path), beats=0)
    home = local_folder(node.folder.address) / "nodes" / "node-1"
    home.mkdir(parents=True)
    (home / "incarnations").write_text("00000001\n")
    assert node.wait() == 0
    with Lock(home / "lock", "node node-1"), pytest.raises(NodeTakenError, match="another process"):
        node.wait()
