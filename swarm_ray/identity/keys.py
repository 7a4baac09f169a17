"""Private keys as libp2p keeps them in a file, and what follows from one: the peer id, and the key that signs.

The bytes are a protobuf message of two fields, the kind of key and its data
(https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md#keys), always in this order. That is what hivemind's
`identity_path` reads; RL Swarm calls such a file `swarm.pem`, although it is no PEM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from swarm_ray.identity.peer_ids import peer_id_of_ed25519, peer_id_of_rsa

KeyKind = Literal["ed25519", "rsa"]

MAX_KEY = 16 * 1024
"""Bytes; an RSA key of 8192 bits has about 4,700."""
_RSA, _ED25519 = 0, 1
_OTHER_KINDS = {2: "secp256k1", 3: "ECDSA"}
_LEAST_RSA_BITS, _MOST_RSA_BITS = 2048, 8192
_SIGNING = b"swarm-ray signing key"
"""What makes the seed that follows from an RSA key ours; another text would give other keys."""


class NotAKey(ValueError):
    """Bytes that are no private key of libp2p; says what they are, to follow the name of the file."""


@dataclass(frozen=True)
class KeyFacts:
    """What others may know of a private key."""

    kind: KeyKind
    peer_id: str
    public_key: str
    """Hex of the 32 bytes of the Ed25519 key by which the node's signatures are checked."""


def new_key() -> bytes:
    """A new Ed25519 key, as a file holds it."""
    key = Ed25519PrivateKey.generate()
    return bytes((0x08, _ED25519, 0x12, 64)) + key.private_bytes_raw() + key.public_key().public_bytes_raw()


def read_key(data: bytes) -> KeyFacts:
    """What follows from a private key.

    Args:
        data: a file's bytes.

    Raises:
        NotAKey: they do not hold a key, or one of an unsupported kind.
    """
    kind, key = _fields(data)
    if kind == _ED25519:
        return _read_ed25519(key)
    if kind == _RSA:
        return _read_rsa(key)
    name = _OTHER_KINDS.get(kind, f"kind {kind}")
    raise NotAKey(f"holds a {name} key; a node's key is Ed25519, or RSA as RL Swarm makes it")


def _fields(data: bytes) -> tuple[int, bytes]:
    """The kind and the data of a key."""
    if data.lstrip().startswith(b"-----BEGIN"):
        raise NotAKey("is a PEM text; a node's key, and RL Swarm's swarm.pem, is libp2p's own form (binary)")
    if len(data) < 4 or data[0] != 0x08 or data[1] > 0x7F or data[2] != 0x12:
        raise NotAKey("is not a private key of libp2p" if data else "is empty")
    length, begin = _varint(data, 3)
    if len(data) - begin < length:
        raise NotAKey(f"is cut short: {len(data) - begin} of {length} bytes of its key are there")
    if len(data) - begin > length:
        raise NotAKey(f"has {len(data) - begin - length} bytes after its key; it is damaged")
    return data[1], data[begin:]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A length in protobuf's form, of at most two bytes, and where what follows it begins."""
    first = data[at]
    if first < 0x80:
        return first, at + 1
    if at + 1 >= len(data) or data[at + 1] > 0x7F:
        raise NotAKey("is not a private key of libp2p")
    return first & 0x7F | data[at + 1] << 7, at + 2


def _read_ed25519(key: bytes) -> KeyFacts:
    """The seed and the public key, 32 bytes each."""
    if len(key) != 64:
        raise NotAKey(f"holds an Ed25519 key of {len(key)} bytes; it has 64")
    public = Ed25519PrivateKey.from_private_bytes(key[:32]).public_key().public_bytes_raw()
    if public != key[32:]:
        raise NotAKey("is damaged: the two halves of its key do not belong together")
    return KeyFacts("ed25519", peer_id_of_ed25519(public), public.hex())


def _read_rsa(key: bytes) -> KeyFacts:
    """A key as PKCS #1 has it, in DER; libp2p reads no other form."""
    try:
        private = serialization.load_der_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NotAKey("says that it holds an RSA key, which cannot be read; it is damaged") from error
    if not isinstance(private, RSAPrivateKey):
        raise NotAKey("says that it holds an RSA key, and holds another kind")
    if not _LEAST_RSA_BITS <= private.key_size <= _MOST_RSA_BITS:
        wanted = f"{_LEAST_RSA_BITS} to {_MOST_RSA_BITS}"
        raise NotAKey(f"holds an RSA key of {private.key_size} bits; {wanted} are taken")
    form = serialization.PrivateFormat.TraditionalOpenSSL
    if key != private.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption()):
        raise NotAKey("holds an RSA key in another form than PKCS #1, which libp2p does not read")
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return KeyFacts("rsa", peer_id_of_rsa(public), _signing_key_of(key))


def _signing_key_of(rsa: bytes) -> str:
    """The public half of the Ed25519 key that follows from an RSA key (HKDF, RFC 5869, without salt).

    It is derived, so that one file remains the whole identity.
    """
    seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=_SIGNING).derive(rsa)
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw().hex()
