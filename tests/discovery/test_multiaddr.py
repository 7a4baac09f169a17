"""Addresses of peers: what is one, who answers there, and from where it can be reached."""

from contextlib import ExitStack

import pytest
from discovery_for_tests import GREETING, Listener, address, peer_id, refused_port
from hypothesis import given
from hypothesis import strategies as st

from swarm_ray.exchange.hivemind.multiaddr import (
    MAX_PROBED,
    Multiaddr,
    is_hosted_notebook,
    parse_multiaddr,
    probe,
    reach_of,
)

ID, RELAY = peer_id(1), peer_id(2)
RSA = "QmTKt6tAvV7oJTuLTeBNEc2C9YXzw1UZ4JpZUU5p6Wdz8F"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (f"/ip4/203.0.113.7/tcp/4001/p2p/{ID}", "203.0.113.7", 4001),
        (f"/ip6/2001:db8::1/tcp/1/p2p/{ID}", "2001:db8::1", 1),
        (f"/dns4/Peer.example.org/tcp/65535/p2p/{ID}", "Peer.example.org", 65535),
        (f"/dns/localhost/tcp/443/p2p/{ID}", "localhost", 443),
    ],
)
def test_addresses_that_can_be_dialled(text: str, host: str, port: int) -> None:
    assert parse_multiaddr(text) == Multiaddr(text, host, port, ID, ID)


def test_one_through_a_relay_names_both_peers() -> None:
    text = f"/ip4/203.0.113.7/tcp/4001/p2p/{RELAY}/p2p-circuit/p2p/{ID}"
    found = parse_multiaddr(text)
    assert found == Multiaddr(text, "203.0.113.7", 4001, RELAY, ID)
    plain = parse_multiaddr(address(1, RSA))
    assert plain is not None
    assert (plain.peer_id, plain.dialled) == (RSA, RSA)


BAD_HOSTS = (
    "ip4/0.0.0.0 ip4/224.0.0.1 ip4/1.2.3.256 ip4/01.2.3.4 ip4/2001:db8::1 ip6/:: ip6/fe80::1%eth0 dns4/-x"
)
BAD_ENDS = "udp/1/quic/p2p/ID tcp/1/p2p/ID/ tcp/1 tcp/1/p2p/ tcp/1/p2p/IDx tcp/0/p2p/ID tcp/65536/p2p/ID tcp/+1/p2p/ID"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        f"ip4/1.2.3.4/tcp/1/p2p/{ID}",
        *(f"/{host}/tcp/1/p2p/{ID}" for host in (*BAD_HOSTS.split(), "dns4/a b", "dnsaddr/x.org", "unix/x")),
        *(f"/dns4/{name}/tcp/1/p2p/{ID}" for name in ("a" * 64, "a." * 200 + "a")),
        *(
            f"/ip4/1.2.3.4/{end.replace('ID', ID)}"
            for end in (*BAD_ENDS.split(), "tcp/¹/p2p/ID", "tcp/1/p2p/ID\n")
        ),
        f"/ip4/1.2.3.4/tcp/1/p2p/{ID[:-1]}",
        f"/ip4/1.2.3.4/tcp/1/p2p/{RELAY}/p2p-circuit/p2p/",
        f"/ip4/1.2.3.4/tcp/1/p2p/{RELAY}/p2p-circuit/ip4/{ID}",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    assert parse_multiaddr(text) is None
    assert probe([text]) == set()
    assert reach_of([text]) == "none"


SEGMENTS = ("ip4", "1.2.3.4", "tcp", "1", "p2p", ID, "p2p-circuit", "", "\0", "é")


@given(st.lists(st.sampled_from(SEGMENTS), max_size=10))
def test_nothing_but_whole_addresses_passes(parts: list[str]) -> None:
    text = "/" + "/".join(parts)
    start = ["ip4", "1.2.3.4", "tcp", "1", "p2p", ID]
    assert (parse_multiaddr(text) is not None) == (parts in (start, [*start, "p2p-circuit", "p2p", ID]))


def test_the_living_are_told_from_the_others_in_one_look() -> None:
    with ExitStack() as stack:
        says = {
            "alive": GREETING,
            "silent": None,
            "closing": b"",
            "web": b"HTTP/1.1 400",
            "half": GREETING[:9],
        }
        heard = {name: stack.enter_context(Listener(said)) for name, said in says.items()}
        addresses = {name: address(one.port, ID) for name, one in heard.items()}
        relayed = f"{address(heard['alive'].port, RELAY)}/p2p-circuit/p2p/{ID}"
        others = [address(refused_port(), ID), relayed, "garbage"]
        assert probe([*addresses.values(), *others]) == {addresses["alive"], relayed}
        assert {name: one.heard for name, one in heard.items()} == {**dict.fromkeys(says, 1), "alive": 2}


def test_no_more_than_so_many_are_tried() -> None:
    with Listener() as one:
        addresses = [address(one.port, peer_id(n)) for n in range(MAX_PROBED + 9)]
        assert len(probe(addresses, within_s=20.0)) == MAX_PROBED
        assert one.heard == MAX_PROBED
    assert probe([]) == set()


@pytest.mark.parametrize(
    ("hosts", "nat", "reach"),
    [
        ([], False, "none"),
        *(
            ([host], False, "local")
            for host in ("ip4/127.0.0.1", "ip4/100.64.0.9", "ip6/fd00::1", "dns/localhost")
        ),
        (["ip4/192.168.1.7", "ip4/127.0.0.1"], False, "local"),
        (["ip4/172.28.0.12", "ip4/127.0.0.1"], True, "nat"),
        (["ip4/127.0.0.1", "ip4/8.8.8.8"], False, "public"),
        (["ip4/127.0.0.1", "ip4/8.8.8.8"], True, "public"),
        (["ip6/2606:4700::1"], False, "public"),
        (["dns4/peer.example.org"], True, "public"),
    ],
)
def test_reach_follows_from_the_addresses(hosts: list[str], nat: bool, reach: str) -> None:
    assert reach_of([f"/{host}/tcp/9/p2p/{ID}" for host in hosts], nat=nat) == reach


def test_who_is_behind_a_relay_or_in_a_rented_notebook_is_behind_nat(monkeypatch: pytest.MonkeyPatch) -> None:
    relayed = f"/ip4/8.8.8.8/tcp/9/p2p/{RELAY}/p2p-circuit/p2p/{ID}"
    assert reach_of([relayed]) == "nat"
    assert reach_of([relayed, address(9, ID)]) == "local"
    for name in ("COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)
    assert not is_hosted_notebook()
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab_20260801")
    assert is_hosted_notebook()
