"""What dies or stops: a link's process, p2pd, the owner, a peer. No call hangs, and no process stays."""

import logging
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import ray
from link_for_tests import HERE, LONG_S, SHORT_S, all_gone, daemon_of, fetch, process_of, started, value_of

from swarm_ray.errors import LinkError
from swarm_ray.exchange.hivemind.link import DhtLink

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
