"""What follows from a key, in our words and those of hivemind, its p2pd and RL Swarm; and what is refused as one."""

import hmac
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import base58
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from genrl.misc_utils.name_utils import get_name_from_peer_id
from hypothesis import given, settings
from hypothesis import strategies as st
from keys_for_tests import ED25519, PKCS8, RSA, SECP256K1, ec_key, message, rsa_key

from swarm_ray.identity import Identity, animal_name, import_identity, load_identity, new_identity
from swarm_ray.identity.keys import NotAKey, from_base58, is_peer_id, new_key, read_key, to_base58

KEY = new_key()
SEED_OF_RFC_8032 = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC_OF_RFC_8032 = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def test_an_ed25519_key_is_libp2ps_message_and_its_public_half_is_the_peer_id() -> None:
    facts = read_key(message(ED25519, SEED_OF_RFC_8032 + PUBLIC_OF_RFC_8032))
    assert (facts.kind, facts.public_key) == ("ed25519", PUBLIC_OF_RFC_8032.hex())
    assert facts.peer_id.startswith("12D3Koo")
    assert base58.b58decode(facts.peer_id) == bytes.fromhex("002408011220") + PUBLIC_OF_RFC_8032


def test_new_keys_differ_and_have_one_form() -> None:
    keys = {new_key() for _ in range(20)}
    assert len({read_key(key).peer_id for key in keys}) == 20
    assert {(key[:4], len(key)) for key in keys} == {(b"\x08\x01\x12\x40", 68)}


def test_an_rsa_key_has_a_hashed_peer_id_and_always_the_same_signing_key(rsa: bytes) -> None:
    facts = read_key(rsa)
    assert (facts.kind, facts.peer_id[:2], len(facts.peer_id)) == ("rsa", "Qm", 46)
    assert read_key(rsa) == facts
    other = read_key(rsa_key(2048))
    assert other.peer_id != facts.peer_id
    assert other.public_key != facts.public_key
    assert len(bytes.fromhex(facts.public_key)) == 32


def test_the_signing_key_of_an_rsa_key_is_hkdf_of_it(rsa: bytes) -> None:
    """RFC 5869 by hand; who changes it takes every imported node's signing key away."""
    extracted = hmac.digest(bytes(32), rsa[5:], "sha256")
    seed = hmac.digest(extracted, b"swarm-ray signing key\x01", "sha256")
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    assert read_key(rsa).public_key == public.hex()


@given(st.binary(max_size=80))
def test_base58_is_that_of_everybody(data: bytes) -> None:
    text = to_base58(data)
    assert text == base58.b58encode(data).decode()
    assert from_base58(text) == data


@given(st.binary(min_size=1, max_size=50))
def test_base58_alone_is_no_peer_id(data: bytes) -> None:
    whole = (data[:6] == bytes.fromhex("002408011220") and len(data) == 38) or (
        data[:2] == b"\x12\x20" and len(data) == 34
    )
    assert is_peer_id(to_base58(data)) == whole


def test_peer_ids_of_both_kinds_are_some(rsa: bytes) -> None:
    for key in (KEY, rsa):
        peer_id = read_key(key).peer_id
        assert is_peer_id(peer_id)
        assert not is_peer_id(peer_id[:-1])
        assert not is_peer_id(f"{peer_id}\n")


@given(st.integers(0, len(KEY) * 8 - 1))
def test_a_key_with_one_wrong_bit_is_none(bit: int) -> None:
    damaged = bytearray(KEY)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(NotAKey):
        read_key(bytes(damaged))


@given(st.binary(max_size=300))
def test_bytes_are_no_key_by_chance(data: bytes) -> None:
    with pytest.raises(NotAKey):
        read_key(data)


@settings(max_examples=40)  # each reads two keys of RSA
@given(st.data())
def test_a_damaged_rsa_key_is_none_or_another(rsa: bytes, data: st.DataObject) -> None:
    """Nothing but `NotAKey` comes of it; a bit in a place that no check sees may make another key."""
    damaged = bytearray(rsa)
    damaged[data.draw(st.integers(0, len(rsa) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for mangled in (bytes(damaged), rsa[: data.draw(st.integers(0, len(rsa) - 1))]):
        try:
            facts = read_key(mangled)
        except NotAKey:
            continue
        assert facts.public_key != read_key(rsa).public_key


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"-----BEGIN RSA PRIVATE KEY-----\n", "PEM text"),
        (KEY + b"\0", "1 bytes after its key"),
        (KEY[:40], "36 of 64 bytes"),
        (message(ED25519, KEY[4:36]), "of 32 bytes; it has 64"),
        (message(ED25519, KEY[4:36] + bytes(32)), "do not belong together"),
        (message(SECP256K1, bytes(32)), "a secp256k1 key"),
        (message(9, bytes(32)), "a kind 9 key"),
        (message(RSA, bytes(300)), "cannot be read"),
        (ec_key(), "another kind"),
        (rsa_key(1024), "1024 bits; 2048 to 8192"),
        (rsa_key(2048, PKCS8), "another form than PKCS #1"),
    ],
    ids=range(12),  # keys are random, and several test processes must give their tests the same names
)
def test_what_is_no_key_is_named_as_what_it_is(data: bytes, said: str) -> None:
    with pytest.raises(NotAKey, match=said):
        read_key(data)


EXTRAS = ("genrl", "hivemind", "web3", "eth_account")
HEAVY = ("torch", "transformers", "ray")


def loaded(code: str, names: tuple[str, ...]) -> list[str]:
    """Which of `names` are modules once `code` has run in a fresh process."""
    told = f"import sys\n{code}\nprint(*[n for n in {names!r} if n in sys.modules])"
    root = Path(__file__).parents[2]
    return subprocess.check_output([sys.executable, "-c", told], text=True, timeout=120, cwd=root).split()


def test_an_identity_and_its_animal_load_one_module_of_genrl_and_nothing_heavy(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from swarm_ray.identity import new_identity
assert new_identity(Path({str(tmp_path / "pi.pem")!r})).animal
print(*sorted(name for name in sys.modules if name.startswith("genrl.")))
"""
    names = (*EXTRAS[1:], *HEAVY)
    assert loaded(code, names) == ["genrl.misc_utils", "genrl.misc_utils.name_utils"]


def test_the_base_package_loads_no_extra() -> None:
    modules = (
        "swarm_ray.swarm, swarm_ray.runtime.worker, swarm_ray.cli.main, actors.trainer.trainer,"
        "swarm_ray.experiments, swarm_ray.observe.watch, actors.discovery.discovery,"
        "actors.coordinator.coordinator, swarm_ray.colab"
    )
    assert loaded(f"import {modules}", EXTRAS) == []


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
    command = [sys.executable, "-c", SAID_BY_HIVEMIND, str(own.file), str(theirs)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        out, _ = process.communicate(timeout=WITHIN_S)
        yield theirs, json.loads(out.splitlines()[-1])
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_hivemind_knows_our_key_and_an_imported_one_by_the_same_peer_id(
    own: Identity, tmp_path: Path, said: tuple[Path, list[str]]
) -> None:
    theirs, peer_ids = said
    taken = import_identity(theirs, tmp_path / "lion.pem")
    assert peer_ids == [taken.peer_id, own.peer_id, taken.peer_id]
    assert taken.key == load_identity(theirs).key


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
