"""`swarm-ray identity`, as a user meets it."""

import json
from pathlib import Path

import msgspec
import pytest
from experiments_for_tests import FakeExperiment, incarnation_of
from folder_for_tests import Folder

from drive_store import ExperimentStore, make_node_folders
from swarm_ray.cli import main
from swarm_ray.cli.output import DONE, MISTAKE
from swarm_ray.config.load import config_hash, load_config
from swarm_ray.experiments import experiment_status
from swarm_ray.identity import animal_name, load_identity, new_identity
from swarm_ray.observe.status_tables import status_table
from swarm_ray.records.nodes import Registration

FIELDS = ["name", "animal", "peer_id", "public_key", "kind", "file", "warning"]


def ran(capsys: pytest.CaptureFixture[str], *words: str, status: int = DONE) -> tuple[str, str]:
    """What it wrote to standard output and to standard error."""
    assert main(["identity", *words]) == status
    out, err = capsys.readouterr()
    return out, err


def test_a_new_key_is_shown_and_lies_on_the_own_disk(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no identities in" in ran(capsys, "show")[0]
    out, err = ran(capsys, "new", "pi")
    made = load_identity(disk / "identities" / "pi.pem")
    assert err == ""
    lines = ["pi", f"  animal     {made.animal}", f"  peer id    {made.peer_id}"]
    assert out.splitlines()[:3] == lines
    assert ran(capsys, "show", "pi")[0] == ran(capsys, "show")[0] == out


def test_a_swarm_pem_is_taken_over(tmp_path: Path, rsa: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = tmp_path / "swarm.pem"
    theirs.write_bytes(rsa)
    out, _ = ran(capsys, "import", str(theirs), "lion", "--folder", str(tmp_path / "my keys"))
    assert load_identity(theirs).peer_id in out
    assert "RSA" in out
    assert (tmp_path / "my keys" / "lion.pem").read_bytes() == rsa == theirs.read_bytes()


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(ran(capsys, "show", "--json")[0]) == []
    ran(capsys, "new", "pi")
    ran(capsys, "new", "e")
    (second, first) = json.loads(ran(capsys, "show", "--json")[0])
    assert [second["name"], first["name"]] == ["e", "pi"]
    assert list(first) == FIELDS
    assert json.loads(ran(capsys, "show", "pi", "--json")[0]) == first
    assert first["animal"] == animal_name(first["peer_id"])


def test_a_key_that_cannot_be_read_does_not_hide_the_others(
    disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran(capsys, "new", "pi")
    (disk / "identities" / "e.pem").write_text("not a key")
    (disk / "identities" / "pi.pem").chmod(0o640)
    out, err = ran(capsys, "show")
    assert out.startswith("pi\n")
    assert [line.partition(": ")[0] for line in err.splitlines()] == ["swarm-ray"] * 2
    assert "e.pem is not a private key" in err
    assert "other users of this machine may read" in err
    assert json.loads(ran(capsys, "show", "--json")[0])[0]["warning"] != ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "ACTION"),
        (["make", "pi"], "invalid choice"),
        (["new"], "NAME"),
        (["new", "a pi"], "cannot name an identity"),
        (["new", "pi", "--json"], "no such argument: --json"),
        (["show", "pi"], "does not exist"),
        (["import", "nowhere.pem", "pi"], "give the swarm.pem that RL Swarm made"),
        (["show", "--folder", __file__], "cannot be listed"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = ran(capsys, *words, status=MISTAKE)
    assert (out, err.count("\n")) == ("", 1)
    assert said in err


def test_a_shared_folder_needs_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = ["--folder", str(Folder(tmp_path).root / "keys")]
    assert "--shared" in ran(capsys, "new", "pi", *keys, status=MISTAKE)[1]
    assert "pi" in ran(capsys, "new", "pi", *keys, "--shared")[0]


@pytest.fixture
def running(tmp_path: Path) -> FakeExperiment:
    """Two nodes, one with a valid peer id and one with an invalid one."""
    made = FakeExperiment(tmp_path / "root", "swarm", load_config(overrides=["nodes=2", "rounds=4"]))
    peer_ids = {"node-0": new_identity(tmp_path / "pi.pem").peer_id, "node-1": "\x1b[31mpeer"}
    for node, peer_id in peer_ids.items():
        life = incarnation_of(node)
        make_node_folders(ExperimentStore(made.store, made.paths), node, life)
        said = Registration(node, life, "worker", config_hash(made.config), {}, "", peer_id=peer_id)
        made.registry.register(node, life, msgspec.json.encode(said))
    made.close(0, {"node-0": 0.5, "node-1": 0.25})
    return made


def test_status_tells_peer_id_and_animal(running: FakeExperiment, tmp_path: Path) -> None:
    first, second = experiment_status(str(running.root), "swarm").nodes
    assert first.peer_id == load_identity(tmp_path / "pi.pem").peer_id
    assert first.animal == animal_name(first.peer_id) != ""
    assert (second.peer_id, second.animal) == ("", "")


def test_animals_stand_in_the_table_where_there_is_room(running: FakeExperiment) -> None:
    status = experiment_status(str(running.root), "swarm")
    animal = status.nodes[0].animal
    wide = status_table(status, width=160)
    assert [animal in line for line in wide.splitlines()[-2:]] == [True, False]
    assert wide.splitlines()[-1].endswith(" -")
    bare = status_table(status, width=40)
    assert animal not in bare
    for width in range(40, 160, 7):
        table = status_table(status, width=width)
        assert table == bare or max(map(len, table.splitlines())) <= width
