"""`swarm-ray peers`: what it shows of a folder, and what it removes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from discovery_for_tests import LATER, LIFE, address, peer_id, say
from experiments_for_tests import FakeExperiment, finished

from drive_store import Store
from drive_store.paths import discovery_record
from swarm_ray.cli import main
from swarm_ray.config.load import load_config
from swarm_ray.experiments.read.peers import list_peers

WATCH = """
import sys
from swarm_ray.cli import main
code = main()
heavy = [m for m in ("torch", "ray", "transformers", "hivemind", "matplotlib") if m in sys.modules]
sys.stderr.write(f"loaded {heavy}\\n")
sys.exit(code)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two experiments and what their nodes said: `over` has ended, `tea` is under way."""
    root = tmp_path / "My Drive"
    finished(root, "over", load_config(overrides=["nodes=2", "rounds=2"]))
    running = load_config(overrides=["nodes=2", "rounds=2", "pace.dead_after_s=60"])
    FakeExperiment(root, "tea", running).close(0, {"node-0": 0.5, "node-1": 0.25})
    store = Store(str(root))
    say(store, "n1", via=peer_id(1), multiaddrs=(address(9, peer_id(1)),), reach="local")
    say(store, "n2", left=True)
    say(store, "n3")
    say(store, "n4", life=LATER, experiment="over")
    say(store, "n5", experiment="removed-long-ago")
    age(store, "n1", 50.0)
    age(store, "n3", 70.0)
    age(store, "n5", 50.0)
    return store


def age(store: Store, node: str, seconds: float) -> None:
    path = Path(store.root, discovery_record(node, LIFE))
    written = path.stat().st_mtime - seconds
    os.utime(path, (written, written))


def peers(store: Store, *arguments: str) -> int:
    return main(["peers", "--root", store.root, *arguments])


def test_it_shows_who_is_to_be_found_and_how(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert peers(store) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0].split() == ["node", "experiment", "role", "state", "reach", "seen", "addresses"]
    cells = [line.split() for line in lines[2:7]]
    assert [(c[0], c[1], c[3], c[4], c[-1]) for c in cells] == [
        ("n4", "over", "fresh", "none", "-"),
        ("n5", "removed-long-ago", "stale", "none", "-"),
        ("n1", "tea", "fresh", "local", "1"),
        ("n2", "tea", "left", "none", "-"),
        ("n3", "tea", "stale", "none", "-"),
    ]
    assert lines[7:] == [
        "silent: 2 nodes; a worker that runs on this root removes such records after a while",
        "left: 1 node; --clean removes such records",
    ]
    assert captured.err == ""


def test_it_cleans_what_is_over_and_nothing_else(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (Path(store.root) / "discovery" / f"n9.{LIFE}.json").write_text("nothing of ours")
    assert peers(store, "--clean", "--experiment", "tea") == 0
    out = capsys.readouterr().out
    assert f"removed 2 records: n4.{LATER}, n2.{LIFE}\n" in out
    assert "not readable, or of another node than the name says: 1 record\n" in out
    assert [peer.node for peer in list_peers(store.root).peers] == ["n5", "n1", "n3"]
    assert peers(store, "--clean") == 0
    assert "nothing to remove\n" in capsys.readouterr().out


def test_as_json_it_is_one_document_and_loads_nothing_heavy(store: Store) -> None:
    command = [sys.executable, "-c", WATCH, "peers", "--root", store.root, "--experiment", "tea", "--json"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(found.stdout)
    assert [(peer["node"], peer["state"], peer["via"]) for peer in said["peers"]] == [
        ("n1", "fresh", peer_id(1)),
        ("n2", "left", ""),
        ("n3", "stale", ""),
    ]
    assert 50 <= said["peers"][0]["age_s"] < 60
    assert (said["removed"], said["unreadable"]) == ([], 0)
    assert found.stderr == "loaded []\n"


def test_an_empty_folder_says_so_and_a_wrong_one_is_a_mistake(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["peers", "--root", str(tmp_path)]) == 0
    assert peers(store, "--experiment", "over", "--clean") == 0
    assert capsys.readouterr().out.startswith("no nodes found\n")
    for arguments, said in (
        (["--root", str(tmp_path / "not there")], "does not exist"),
        (["--root", store.root, "--experiment", "coffee"], "no experiment 'coffee'"),
        (["--root", store.root, "--experiment", "a b"], "'a b' cannot name an experiment"),
        ([], "--root"),
    ):
        assert main(["peers", *arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert said in captured.err
        assert captured.err.count("\n") == 1
