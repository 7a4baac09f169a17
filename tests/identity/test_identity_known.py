"""Others say the same of a key: hivemind, its p2pd, and RL Swarm."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from genrl.misc_utils.name_utils import get_name_from_peer_id

from swarm_ray.identity import Identity, animal_name, import_identity, load_identity, new_identity

WITHIN_S = 120
SAID_BY_HIVEMIND = """
import json, sys
from hivemind import DHT
from hivemind.p2p import P2P, PeerID
own, theirs = sys.argv[1:]
P2P.generate_identity(theirs)
found = [PeerID.from_identity(open(theirs, "rb").read()).to_base58()]
for path in (own, theirs):
    dht = DHT(start=True, identity_path=path, check_if_identity_free=False, startup_timeout=60)
    found.append(dht.peer_id.to_base58())
    dht.shutdown()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return new_identity(tmp_path_factory.mktemp("keys") / "pi.pem")


@pytest.fixture(scope="module")
def said(own: Identity, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    """A `swarm.pem` that hivemind made, its peer id, and the peer ids of real daemons with our key and with that."""
    theirs = tmp_path_factory.mktemp("rl swarm") / "swarm.pem"
    process = subprocess.Popen(
        [sys.executable, "-c", SAID_BY_HIVEMIND, str(own.file), str(theirs)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(timeout=WITHIN_S)
        yield theirs, json.loads(out.splitlines()[-1])
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_a_daemon_with_our_key_has_our_peer_id(own: Identity, said: tuple[Path, list[str]]) -> None:
    assert said[1][1] == own.peer_id


def test_an_imported_key_has_the_peer_id_that_hivemind_knows(
    tmp_path: Path, said: tuple[Path, list[str]]
) -> None:
    taken = import_identity(said[0], tmp_path / "lion.pem")
    assert [taken.peer_id] * 2 == [said[1][0], said[1][2]]
    assert taken.key == load_identity(said[0]).key


def test_the_animal_is_that_of_rl_swarm(own: Identity) -> None:
    assert own.animal == get_name_from_peer_id(own.peer_id)
    assert len(own.animal.split()) == 3
    # Computed once by RL Swarm's rule; a peer that is known by it should stay so.
    assert animal_name("QmVZP4kqLMqifiKEYe72zrX2eAAs6A81k1YwYW3jjC5yfk") == "curious foxy boar"


def test_without_a_peer_id_or_the_extra_there_is_none(own: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    assert animal_name("") == ""
    gone: Any = None  # what Python makes of a package that is not installed
    monkeypatch.setitem(sys.modules, "genrl.misc_utils.name_utils", gone)
    assert own.animal == ""
