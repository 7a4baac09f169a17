"""In a swarm that learns, every node is announced by the key in its file, and has that key again after a restart."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from actors_for_tests import DirectSink, OneProcessSwarm
from swarm_for_tests import small_config

from actors.trainer.restoring import NodeFolder
from actors.trainer.settings import TrainerSettings
from actors.trainer.trainer import Trainer
from drive_store import DiscoveryFolder, ExperimentStore, Registry, Store, Valid
from swarm_ray.experiments import experiment_status
from swarm_ray.experiments.folder import ExperimentAddress, local_folder
from swarm_ray.identity import load_identity
from swarm_ray.machine.local_disk import cache_folder
from swarm_ray.records.nodes import PeerRecord, Registration

CONFIG = small_config(rounds=2)


class PartlyNamed(OneProcessSwarm):
    """A node with a name of its own beside one of a swarm on one machine."""

    def trainer(self, address: ExperimentAddress, nodes: Sequence[str], reporter: DirectSink) -> Trainer:
        """With the folder of identities for the named one."""
        keys = self.keys if "pi-1" in nodes else None
        settings = TrainerSettings(
            address, self.config, tuple(nodes), cache_folder(), None, threads=1, identities=keys
        )
        return Trainer(settings, reporter)

    @property
    def keys(self) -> Path:
        """Where the named node's key lies."""
        return self.root.parent / "keys"


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PartlyNamed]:
    folder = tmp_path_factory.mktemp("swarm")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SWARM_RAY_STATE", str(folder / "own disk"))
        with PartlyNamed(folder / "My Drive", CONFIG, [["node-0"], ["pi-1"]]) as made:
            made.results()
            assert made.state() == "finished"
        yield made


def peer_ids_of(swarm: PartlyNamed) -> dict[str, str]:
    homes = [home for trainer in swarm.trainers for home in trainer._restored.folders.values()]
    return {home.node: home.identity.peer_id for home in homes}


def test_registration_record_and_status_say_the_same(swarm: PartlyNamed) -> None:
    mine = peer_ids_of(swarm)
    store = Store(str(swarm.root))
    announced: dict[str, set[str]] = {}
    for (node, _), reading in Registry(ExperimentStore(store, swarm.address.paths)).registrations().items():
        assert isinstance(reading, Valid)
        said = msgspec.json.decode(reading.payload, type=Registration)
        assert len(bytes.fromhex(said.public_key)) == 32
        announced.setdefault(node, set()).add(said.peer_id)
    found = {}
    for (node, _), reading in DiscoveryFolder(store).read_all().items():
        assert isinstance(reading, Valid)
        record = msgspec.json.decode(reading.payload, type=PeerRecord)
        if record.role == "trainer":
            found[node] = record.peer_id
    status = {n.id: n.peer_id for n in experiment_status(str(swarm.root), "small").nodes}
    assert {node: peer_id for node, (peer_id,) in announced.items()} == found == status == mine


def test_each_key_is_kept_where_it_belongs(swarm: PartlyNamed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARM_RAY_STATE", str(swarm.root.parent / "own disk"))
    state, mine = local_folder(swarm.address), peer_ids_of(swarm)
    assert mine["pi-1"] == load_identity(swarm.keys / "pi-1.pem").peer_id
    for node, keys in (("node-0", None), ("pi-1", swarm.keys)):
        home = NodeFolder(state, node, keys)
        assert home.identity.peer_id == mine[node]
        home.release()


def test_no_key_lies_in_the_shared_folder(swarm: PartlyNamed) -> None:
    secrets = [path.read_bytes()[4:36] for path in swarm.root.parent.rglob("*.pem")]
    assert len(secrets) >= 2
    for path in swarm.root.rglob("*"):
        if path.is_file():
            text = path.read_bytes()
            assert not any(secret in text or secret.hex().encode() in text for secret in secrets)
