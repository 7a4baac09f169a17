"""A duplicate of a living identity is refused in one line: by a lock here, by signs of life elsewhere."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from folder_for_tests import Folder, incarnation

from actors.trainer.restoring import NodeFolder
from drive_store import DiscoveryFolder
from swarm_ray.config.schema import PaceConfig
from swarm_ray.errors import IdentityError, NodeTakenError
from swarm_ray.experiments.folder import local_folder
from swarm_ray.identity import Identity, former_incarnations, identity_for, load_identity
from swarm_ray.observe.display import Display
from swarm_ray.records.nodes import Beat, NodeTotals, PeerRecord, Registration
from swarm_ray.runtime.node_lease import wait_for_lease

PACE = PaceConfig(beat_s=1, dead_after_s=20)
HOLD = """
import sys
from pathlib import Path
from actors.trainer.restoring import NodeFolder
home = NodeFolder(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
print(home.incarnation, flush=True)
input()
"""


class Elsewhere:
    """A node on another machine that has our identity, and a clock that its signs of life move."""

    def __init__(self, folder: Folder, identity: Identity, *, signs: int) -> None:
        self.folder, self.identity, self.now = folder, identity, 0.0
        self._left, self._count = signs, 0

    def in_experiment(self, node: str, **said: Any) -> None:
        """It takes part in this experiment, under another id."""
        self._said = said
        self.folder.join(node)
        life, peer_id = incarnation(node), self.identity.peer_id
        announced = Registration(node, life, "elsewhere", "", {}, "", peer_id=peer_id)
        self.folder.registry.register(node, life, msgspec.json.encode(announced))
        self._sign = lambda: self._beat(node)
        self._sign()

    def in_another(self, node: str, **said: Any) -> None:
        """It takes part in another experiment of the root."""
        self._said = said
        self._sign = lambda: self._record(node)
        self._sign()

    def wait(self, node: str = "node-1", identity: Identity | None = None) -> float:
        clock, identity = (lambda: self.now), identity or self.identity
        place = (self.folder.address, node, PACE, Display())
        wait_for_lease(*place, identity=identity, clock=clock, sleep=self._sleep)
        return self.now

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        if self._left > 0:
            self._left -= 1
            self._sign()

    def _beat(self, node: str) -> None:
        self._count += 1
        beat = Beat(self._count, 3, 4, "training", NodeTotals(), progress=self._count)
        payload = msgspec.json.encode(msgspec.structs.replace(beat, **self._said))
        self.folder.registry.write_beat(node, incarnation(node), self._count, payload)

    def _record(self, node: str) -> None:
        self._count += 1
        record = PeerRecord(node, incarnation(node), "other", self.identity.peer_id, count=self._count)
        payload = msgspec.json.encode(msgspec.structs.replace(record, **self._said))
        experiment = self._said.get("experiment", "other")
        DiscoveryFolder(self.folder.store).write(experiment, node, incarnation(node), self._count, payload)


@pytest.fixture
def mine() -> Identity:
    return identity_for("node-1")


def test_nobody_else_with_it_means_no_wait(folder: Folder, mine: Identity) -> None:
    elsewhere = Elsewhere(folder, identity_for("node-2"), signs=9)
    elsewhere.in_experiment("node-2")
    assert elsewhere.wait(identity=mine) == 0


@pytest.mark.parametrize(
    ("place", "node", "who"),
    [
        ("in_experiment", "node-2", "node-2 of experiment 'small'"),
        ("in_another", "node-1", "node-1 of experiment 'other'"),
    ],
)
def test_one_that_lives_elsewhere_is_refused(
    folder: Folder, mine: Identity, place: str, node: str, who: str
) -> None:
    elsewhere = Elsewhere(folder, mine, signs=3)
    getattr(elsewhere, place)(node)
    said = f"{mine.peer_id}.*in use on another machine, by node {who}"
    with pytest.raises(NodeTakenError, match=said) as caught:
        elsewhere.wait()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["in_experiment", "in_another"])
def test_one_that_is_silent_is_waited_for(folder: Folder, mine: Identity, place: str) -> None:
    elsewhere = Elsewhere(folder, mine, signs=0)
    getattr(elsewhere, place)("node-2")
    assert elsewhere.wait() >= PACE.dead_after_s


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("in_experiment", {"done": True}),
        ("in_experiment", {"problem": "its loss is not finite"}),
        ("in_another", {"left": True}),
        # What `discovery/` says of this experiment may be older than the goodbye: its own folder tells.
        ("in_another", {"experiment": "small"}),
    ],
)
def test_one_that_has_left_is_not(folder: Folder, mine: Identity, place: str, said: dict[str, Any]) -> None:
    elsewhere = Elsewhere(folder, mine, signs=9)
    getattr(elsewhere, place)("node-2", **said)
    assert elsewhere.wait() == 0


def test_what_anybody_may_write_hinders_nobody(folder: Folder, mine: Identity) -> None:
    """Files that are no registration, no beat and no record."""
    elsewhere = Elsewhere(folder, mine, signs=0)
    elsewhere.in_experiment("node-2")
    folder.registry.write_beat("node-2", incarnation("node-2"), 9, b'{"count":"many"}')
    folder.join("node-3")
    folder.registry.register("node-3", incarnation("node-3"), b'{"node":3}')
    DiscoveryFolder(folder.store).write("other", "node-4", incarnation("node-4"), 1, b'{"peer_id":[1]}')
    assert elsewhere.wait() == 0


def test_on_this_machine_a_lock_tells_at_once(folder: Folder, mine: Identity) -> None:
    """In whatever experiment it is, and whatever the copy of its file is called."""
    home = NodeFolder(folder.root.parent / "state of another", "node-1", mine.file.parent)
    copy = mine.file.with_name("node-2.pem")
    copy.write_bytes(mine.file.read_bytes())
    with pytest.raises(
        NodeTakenError, match=f"the identity {mine.peer_id} .*another process of this machine"
    ):
        Elsewhere(folder, mine, signs=0).wait("node-2", load_identity(copy))
    with pytest.raises(NodeTakenError, match=mine.peer_id):
        NodeFolder(local_folder(folder.address), "node-2", mine.file.parent)
    home.release()
    assert NodeFolder(local_folder(folder.address), "node-2", mine.file.parent).identity.key == mine.key


def test_a_former_life_on_this_machine_is_not_waited_for(folder: Folder, mine: Identity) -> None:
    """Its process was killed: no goodbye, but the lock is free."""
    home = NodeFolder(folder.root.parent / "state of another", "node-2", mine.file.parent)
    home.release()
    elsewhere = Elsewhere(folder, home.identity, signs=0)
    elsewhere.in_another("node-2")
    assert elsewhere.wait() >= PACE.dead_after_s
    theirs = PeerRecord("node-2", home.incarnation, "other", home.identity.peer_id, count=3)
    records = DiscoveryFolder(folder.store)
    records.remove("node-2", incarnation("node-2"))
    records.write("other", "node-2", home.incarnation, 3, msgspec.json.encode(theirs))
    assert former_incarnations(home.identity) == (home.incarnation,)
    before = elsewhere.now
    assert elsewhere.wait() == before


def test_a_process_that_is_killed_lets_go_of_it(tmp_path: Path, mine: Identity) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "state"), "node-1", str(mine.file.parent)]
    pipe, root = subprocess.PIPE, Path(__file__).parents[2]
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root)
    try:
        assert process.stdout is not None
        life = process.stdout.readline().strip()
        with pytest.raises(NodeTakenError, match=mine.peer_id):
            former_incarnations(mine)
    finally:
        process.kill()
        process.communicate(timeout=60)
    assert former_incarnations(mine) == (life,)


def test_a_node_of_a_swarm_here_keeps_a_key_for_this_experiment(folder: Folder, disk: Path) -> None:
    state = local_folder(folder.address)
    homes = [NodeFolder(state, node) for node in ("node-0", "node-1")]
    keys = [home.identity.key for home in homes]
    assert keys[0] != keys[1]
    for home in homes:
        home.release()
    again = NodeFolder(state, "node-0")
    assert (again.identity.key, again.former) == (keys[0], (homes[0].incarnation,))
    assert not (disk / "identities").exists()
    assert not (disk / "peers").exists()


def test_a_key_that_cannot_be_read_leaves_the_node_free(tmp_path: Path) -> None:
    (tmp_path / "node-1.pem").write_bytes(b"no key")
    with pytest.raises(IdentityError, match=r"node-1\.pem is not a private key"):
        NodeFolder(tmp_path / "state", "node-1", tmp_path)
    (tmp_path / "node-1.pem").unlink()
    assert NodeFolder(tmp_path / "state", "node-1", tmp_path).former == ()
