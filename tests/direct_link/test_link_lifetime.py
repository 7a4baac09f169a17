"""How a link starts and ends: its peers, its identity, what stops it or dies. No call hangs, and no process stays."""

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import ray
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from link_for_tests import (
    HERE,
    LONG_S,
    SHORT_S,
    STRANGER,
    Program,
    all_gone,
    daemon_of,
    fetch,
    process_of,
    started,
    value_of,
)

from swarm_ray.config.schema import DirectConfig
from swarm_ray.errors import LinkError, UserError
from swarm_ray.exchange.hivemind import require_hivemind
from swarm_ray.exchange.hivemind.cleanup import key_file, make_socket_folder
from swarm_ray.exchange.hivemind.link import DhtLink
from swarm_ray.identity.keys import peer_id_of_ed25519

NOWHERE = "/ip4/127.0.0.1/tcp/9"


def test_peers_that_are_dead_or_none_at_all_stop_nobody(links: tuple[DhtLink, DhtLink]) -> None:
    first, second = links
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        port = silent.getsockname()[1]
        wrong = first.multiaddrs[0].partition("/p2p/")[0]
        link = started(
            f"/ip4/127.0.0.1/tcp/{port}/p2p/{STRANGER[:-1]}g",
            f"{wrong}/p2p/{STRANGER[:-1]}h",
            *(f"{NOWHERE}{end}" for end in (f"/p2p/{STRANGER}", "", "/p2p/", "/p2p/!")),
            *("no address", "", *second.multiaddrs),
        )
        try:
            assert link.peers() >= {second.peer_id}
            assert link.join([f"{NOWHERE}/p2p/{STRANGER}", *link.multiaddrs], LONG_S) == 0
            assert link.join([*first.multiaddrs, *second.multiaddrs], LONG_S) == 2
        finally:
            link.close()


def test_two_links_that_started_apart_become_one_until_p2pd_dies(links: tuple[DhtLink, DhtLink]) -> None:
    alone = started()
    try:
        assert alone.peers() == set()
        assert alone.clock_discrepancy() is None
        alone.put("exp/before", b"stored when it was alone", LONG_S)
        assert alone.join(links[0].multiaddrs, LONG_S) == 1
        assert alone.peer_id in links[0].peers()
        ahead = alone.clock_discrepancy()
        assert ahead is not None
        assert abs(ahead) < 3.0  # one clock, and one machine
        assert fetch(links[0], "exp/before", b"stored when it was alone") == b"stored when it was alone"
        process = process_of(alone)
        alone.start()  # harmless
        assert process_of(alone) == process
        daemon_of(alone).kill()
        assert all_gone(process)
        assert not alone.alive
        with pytest.raises(LinkError, match="the link's process has gone: p2pd ended"):
            alone.peers()
    finally:
        alone.close()
    alone.close()
    with pytest.raises(LinkError, match="was not started, or was closed"):
        alone.peers()


def test_the_peer_id_is_that_of_the_identity_and_no_copy_stays(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    file = tmp_path / "my node.pem"
    file.write_bytes(b"\x08\x01\x12\x40" + key.private_bytes_raw() + public)
    file.chmod(0o644)  # as a mount shows it
    link = DhtLink(file, HERE)
    link.start()
    try:
        folder = Path(link._process._folder)  # type: ignore[union-attr]
        assert link.peer_id == peer_id_of_ed25519(public)
        assert link.multiaddrs[0].endswith(f"/p2p/{link.peer_id}")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert not [path for path in folder.iterdir() if path.is_file()]
    finally:
        link.close()
    assert not folder.exists()


def test_a_key_is_never_a_file_that_stays_when_all_is_killed(tmp_path: Path) -> None:
    with key_file(b"a key", tmp_path) as path:
        assert path is not None
        assert Path(path).read_bytes() == b"a key"
        on_disk = list(tmp_path.iterdir())
        assert on_disk == [] or not hasattr(os, "memfd_create")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    first = Path(make_socket_folder())
    prefix = first.name.partition(f"{os.getpid()}-")[0]
    left, living = tmp_path / f"{prefix}{ended.pid}-x", tmp_path / f"{prefix}{os.getpid()}-x"
    others = tmp_path / f"swarm-ray-link-elsewhere-{ended.pid}-x"
    for folder in (left, others, living):
        folder.mkdir()
        (folder / "p2pd.sock").touch()
    own = Path(make_socket_folder())
    assert sorted(tmp_path.iterdir()) == sorted([others, living, own, first])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(LinkError, match="cannot be started"):
        DhtLink(None, HERE).start()


def test_a_peer_whose_answers_are_none_ends_nothing() -> None:
    garbler, link = Program("garbler"), started()
    try:
        assert link.join([garbler.multiaddr], LONG_S) == 0
        assert len(link.peers()) == 1
        assert link.clock_discrepancy() is None
        assert link.alive
    finally:
        link.close()
        garbler.close()


def test_what_stops_a_link_is_said_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_bytes(b"no key")
    with pytest.raises(LinkError, match=r"^the direct link does not start: Daemon failed to start: [^\n]*$"):
        DhtLink(broken, HERE).start()
    with pytest.raises(
        LinkError, match=r"the identity .*none.pem cannot be read \(No such file or directory\)"
    ):
        DhtLink(tmp_path / "no folder" / "none.pem", HERE).start()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(LinkError, match=f"cannot listen on 127.0.0.1:{port}"):
            DhtLink(None, DirectConfig(listen="127.0.0.1", port=port)).start()
    hasty = DhtLink(None, DirectConfig(listen="127.0.0.1", start_s=0.05))
    with pytest.raises(LinkError, match=r"the link's process did not answer within 0\.05 s"):
        hasty.start()
    assert not hasty.alive


def test_the_link_needs_a_supported_hivemind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    require_hivemind()
    folder = tmp_path / "hivemind-1.1.10.post2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: hivemind\nVersion: 1.1.10.post2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    wanted = r"pip install 'swarm-ray\[hivemind\]'"
    with pytest.raises(UserError, match=rf"hivemind 1\.1\.10\.post2 is here, .*{wanted}"):
        DhtLink(None, HERE).start()
    monkeypatch.setattr("sys.path", [os.fspath(tmp_path / "empty")])
    with pytest.raises(UserError, match=f"needs the package hivemind: {wanted}"):
        DhtLink(None, HERE).start()


OWNER = """
import sys
sys.path[:] = {path!r}
from link_for_tests import daemon_of, process_of, started
for link in [started(), started()]:
    print(process_of(link).pid, daemon_of(link).pid, link._process._folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def link() -> Iterator[DhtLink]:
    link = started()
    yield link
    link.close()


def test_a_process_that_dies_or_stops_in_a_call_is_noticed_and_p2pd_goes_with_it(link: DhtLink) -> None:
    process, daemon = process_of(link), daemon_of(link)
    process.suspend()  # so that the call is under way
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(link.join, ["nowhere"], 250.0)  # longer than the test may take
        process.kill()
        with pytest.raises(LinkError, match="the link's process has gone"):
            asking.result()
    assert all_gone(daemon)
    assert not link.alive
    with pytest.raises(LinkError, match="the link's process has gone"):
        link.put("exp/dead", b"value", LONG_S)
    link.start()
    assert link.alive
    assert link.put("exp/again", b"value", LONG_S) == 1
    process, daemon = process_of(link), daemon_of(link)
    process.suspend()
    with pytest.raises(LinkError, match=f"did not answer within {SHORT_S:g} s$"):
        link.put("exp/half", bytes(10_000_000), SHORT_S)  # and half of it is on its way
    assert all_gone(process, daemon)


def test_a_process_that_stops_answers_no_call_and_is_ended(link: DhtLink) -> None:
    process, daemon = process_of(link), daemon_of(link)
    process.suspend()
    with pytest.raises(LinkError, match=f"did not answer within {SHORT_S:g} s$"):
        link.put("exp/stopped", b"value", SHORT_S)
    with pytest.raises(LinkError, match=f"did not answer within {SHORT_S:g} s and was ended"):
        link.get("exp/stopped", 1, 5, "ab" * 32, SHORT_S)
    assert all_gone(process, daemon)
    assert not link.alive


def test_an_owner_that_is_killed_leaves_nothing() -> None:
    command, pipe = [sys.executable, "-c", OWNER.format(path=sys.path)], subprocess.PIPE
    owner = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    assert owner.stdout is not None
    lines = [owner.stdout.readline().split() for _ in range(2)]
    try:
        (first, its_daemon), (second, other_daemon) = (
            [psutil.Process(int(pid)) for pid in line[:2]] for line in lines
        )
        owner.send_signal(signal.SIGSTOP)
        its_daemon.suspend()  # so that neither can see to anything
        first.kill()
        assert all_gone(its_daemon)
    finally:
        owner.kill()
        owner.communicate()
        shutil.rmtree(lines[0][2])  # whoever would have removed it is dead
    assert all_gone(second, other_daemon)
    assert not Path(lines[1][2]).exists()


def test_of_four_nodes_one_dies_and_one_is_not_reached(links: tuple[DhtLink, DhtLink]) -> None:
    first, second = links
    dying, silent = started(*first.multiaddrs), started(*first.multiaddrs)
    deaf = [daemon_of(silent), process_of(silent)]
    try:
        value = value_of(100_000, "four")
        dying.put("exp/four", value, LONG_S)
        assert [fetch(link, "exp/four", value) for link in (first, second, silent)] == [value] * 3
        process_of(dying).send_signal(signal.SIGKILL)
        for process in deaf:
            process.suspend()
        assert fetch(second, "exp/four", value) == value  # though its owner is dead
        for number in range(5):
            value = value_of(100_000, f"three {number}")
            sender, receiver = (first, second) if number % 2 else (second, first)
            assert sender.put(f"exp/four-{number}", value, LONG_S) == 1
            assert fetch(receiver, f"exp/four-{number}", value) == value
    finally:
        for process in deaf:
            process.resume()
        dying.close()
        silent.close()
    assert silent.peer_id not in first.peers() or all_gone(*deaf)


@pytest.mark.ray
def test_an_actor_that_is_killed_leaves_nothing() -> None:
    class LinkActor:  # here, so that it travels whole: its process cannot import this file
        def __init__(self) -> None:
            self._link = DhtLink(None, HERE)

        def start(self) -> list[int]:
            self._link.start()
            return [process.pid for process in psutil.Process().children(recursive=True)]

    ours = not ray.is_initialized()
    if ours:
        ray.init(
            address="local",  # not the cluster of a test in the other process
            num_cpus=1,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=100_000_000,
            configure_logging=False,
            logging_level=logging.ERROR,
        )
    try:
        actor = ray.remote(num_cpus=0)(LinkActor).remote()
        left = [psutil.Process(pid) for pid in ray.get(actor.start.remote())]
        assert [process.name() for process in left if process.name() == "p2pd"] == ["p2pd"]
        ray.kill(actor)
        assert all_gone(*left)
    finally:
        if ours:
            ray.shutdown()
