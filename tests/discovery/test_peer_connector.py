"""Links that find each other through the folder: real p2pd on this machine, and ports where somebody else is."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from discovery_for_tests import Clock, Listener, address, new_root, peer_id, refused_port, say

from drive_store import Store
from swarm_ray.cli.main import main
from swarm_ray.config.schema import DirectConfig
from swarm_ray.discovery import PeerBook
from swarm_ray.errors import ConfigError
from swarm_ray.exchange.hivemind.link import DhtLink
from swarm_ray.exchange.hivemind.peer_connector import MAX_JOINED, RETRY_S, LinkAnnouncement, PeerConnector

HERE = DirectConfig(listen="127.0.0.1", start_s=30.0)


class Party:
    """Links of this machine that share a folder, each with a clock that moves when it looks again."""

    def __init__(self, store: Store) -> None:
        self.store, self.met = store, list[PeerConnector]()

    def connector(self, direct: DirectConfig = HERE) -> PeerConnector:
        """One that has not started."""
        book = PeerBook(Store(self.store.root), ttl_s=20.0)
        self.met.append(PeerConnector(book, DhtLink(None, direct), direct, "tea", clock=Clock()))
        return self.met[-1]

    def started(self, node: str, direct: DirectConfig = HERE) -> PeerConnector:
        """One that has started, and told the folder of itself."""
        made = self.connector(direct)
        made.start()
        self.announce(node, made)
        return made

    def announce(self, node: str, connector: PeerConnector, count: int = 1) -> None:
        told = connector.announcement
        say(self.store, node, count, via=told.peer_id, multiaddrs=told.multiaddrs, reach=told.reach)

    def close(self) -> None:
        for connector in self.met:
            connector.close()


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    made = Party(new_root(tmp_path))
    try:
        yield made
    finally:
        made.close()


def look_again(connector: PeerConnector, after_s: float = RETRY_S) -> None:
    clock = connector._clock
    assert isinstance(clock, Clock)
    clock.now += after_s
    connector.keep()
    connector.wait()


def link_of(connector: PeerConnector) -> DhtLink:
    return connector._link


def exchanged(giver: PeerConnector, taker: PeerConnector, value: bytes) -> bool:
    """Whether a value that one stores is fetched by the other."""
    key = hashlib.sha256(value).hexdigest()
    parts = link_of(giver).put(f"tea/{key}", value, 10.0)
    return link_of(taker).get(f"tea/{key}", parts, len(value), key, 10.0) == value


def test_links_that_started_apart_become_one_dht(party: Party) -> None:
    """hivemind's issue 624; one of them also has a bootnode that is dead."""
    dead = address(refused_port(), peer_id(3))
    first = party.started("n1", HERE.model_copy(update={"bootnodes": (dead,)}))
    assert "bootnode 127.0.0.1" in first.problem
    second = party.connector()
    second._experiment = "coffee"
    second.start()  # as if n1's record were not to be seen yet
    second._experiment = "tea"
    assert (link_of(first).peers(), link_of(second).peers()) == (set(), set())
    own = link_of(second).peer_id
    assert second.announcement == LinkAnnouncement(own, link_of(second).multiaddrs, "local")
    party.announce("n2", second)
    look_again(first)
    assert link_of(first).peers() == {own}
    assert "n2" not in first.problem
    assert exchanged(first, second, b"x" * 200_000)
    assert exchanged(second, first, b"y")
    party.announce("n1", first, 2)
    look_again(second)
    assert second.problem == ""

    link_of(second).close()  # as if its process had died
    assert second.announcement == LinkAnnouncement("", (), "none")
    look_again(second)
    assert link_of(second).alive
    assert second.announcement.peer_id != own
    assert link_of(second).peers() == {link_of(first).peer_id}


def test_the_living_are_found_among_the_dead_and_carry_for_those_behind_nat(party: Party) -> None:
    port, public = refused_port(), "/ip4/8.8.8.8/tcp/4001"
    told_too = {"port": port, "announce": (f"/ip4/127.0.0.1/tcp/{port}", public)}
    alive = party.started("alive", HERE.model_copy(update=told_too))
    assert alive.problem == ""
    told = alive.announcement
    assert (told.reach, told.multiaddrs[0]) == ("public", f"{public}/p2p/{told.peer_id}")
    with ExitStack() as stack:
        silent = [stack.enter_context(Listener(None)) for _ in range(20)]
        for n, one in enumerate(silent):
            say(party.store, f"dead-{n}", via=peer_id(n), multiaddrs=(address(one.port, peer_id(n)),))
        say(party.store, "liar", via=peer_id(50), multiaddrs=link_of(alive).multiaddrs)
        say(party.store, "files-only")
        say(party.store, "left", via=peer_id(51), left=True)
        closed_in = HERE.model_copy(update={"announce": ("/ip4/127.0.0.1/tcp/1",)})
        later = party.started("later", closed_in)
        assert link_of(later).peers() == {link_of(alive).peer_id}
        assert later.problem.startswith("no connection to dead-0, dead-1, dead-10 and 18 more: ")
        assert exchanged(alive, later, b"z" * 1000)
        look_again(later, 2.5)
        assert [one.heard for one in silent] == [1] * 20  # nobody is tried again so soon
        look_again(later)
        assert [one.heard for one in silent] == [2] * 20
        look_again(later)
        assert [one.heard for one in silent] == [2] * 20  # the second pause is longer
    other = party.started("other", closed_in)
    assert link_of(other).peers() == {link_of(alive).peer_id}
    assert exchanged(later, other, b"v" * 300_000)
    assert link_of(other).peers() == {link_of(alive).peer_id}


def test_no_more_than_eight_are_joined_at_a_time_and_a_folder_that_is_away_ends_no_link(party: Party) -> None:
    with ExitStack() as stack:
        greeting = [stack.enter_context(Listener()) for _ in range(12)]
        for n, one in enumerate(greeting):
            say(party.store, f"n{n}", via=peer_id(n), multiaddrs=(address(one.port, peer_id(n)),))
        connector = party.connector()
        connector.start()  # none of them is the peer that its record names
        assert sum(one.heard > 1 for one in greeting) == MAX_JOINED
        look_again(connector, 2.5)
        assert all(one.heard > 1 for one in greeting)
        assert link_of(connector).peers() == set()
    place = Path(party.store.root) / "discovery"
    place.rename(place.with_name("away"))
    place.write_text("in the way")
    look_again(connector)
    assert connector.problem.startswith("who could be reached directly is not known")
    assert link_of(connector).alive
    connector.close()
    look_again(connector)
    assert not link_of(connector).alive


@pytest.mark.parametrize("text", ["", "localhost:4001", "/ip4/127.0.0.1/tcp/4001"])
def test_a_bootnode_that_is_no_address_is_the_users_mistake(party: Party, text: str) -> None:
    with pytest.raises(ConfigError, match=r"direct\.bootnodes"):
        party.connector(HERE.model_copy(update={"bootnodes": (text,)}))


def test_clocks_that_differ_are_told(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    connector = party.started("n1")
    assert connector.problem == ""
    monkeypatch.setattr(link_of(connector), "clock_discrepancy", lambda: -7.25)
    look_again(connector)
    assert connector.problem.startswith(
        "the peers' clocks differ from this machine's by -7.2 s; set it right"
    )
    monkeypatch.setattr(link_of(connector), "clock_discrepancy", lambda: 2.9)
    look_again(connector)
    assert connector.problem == ""


@pytest.mark.parametrize("wrong", ['direct.bootnodes=["foo"]', "direct.relay=true"])
def test_a_mistake_about_bootnodes_is_told_in_one_line_and_leaves_no_experiment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    root = tmp_path / "runs"
    words = ["simulate", "--root", str(root), "--experiment", "x", "exchange=hivemind", wrong]
    assert main(words) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("swarm-ray: ")]
    assert wrong.partition("=")[0] in error
    assert not list(root.glob("experiments/*"))
