"""Private keys as libp2p keeps them in a file, and what follows from one: the peer id, and the key that signs.

The bytes are a protobuf message of two fields, the kind of key and its data
(https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md#keys), always in this order. That is what hivemind's
`identity_path` reads; RL Swarm calls such a file `swarm.pem`, although it is no PEM.

A peer id is a multihash of the public key, in base58
(https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md). The key is a protobuf message of its kind and its
bytes; one of at most 42 bytes is its own "identity" hash (`12D3Koo...`), any other one is hashed by sha2-256
(`Qm...`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

MAX_KEY = 16 * 1024
"""Bytes; an RSA key of 8192 bits has about 4,700."""
_RSA, _ED25519 = 0, 1
_OTHER_KINDS = {2: "secp256k1", 3: "ECDSA"}
_LEAST_RSA_BITS, _MOST_RSA_BITS = 2048, 8192
_SIGNING = b"swarm-ray signing key"
"""What makes the seed that follows from an RSA key ours; another text would give other keys."""
_LETTERS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ED25519_PUBLIC = b"\x08\x01\x12\x20"
"""Kind 1 and 32 bytes of key, as protobuf."""
_HASHED_WHOLE = b"\x00\x24" + _ED25519_PUBLIC
"""The "identity" multihash (not a hash), and the beginning of the 36 bytes of an Ed25519 key's message."""
_HASHED = b"\x12\x20"
"""A multihash by sha2-256: 32 bytes follow."""


class NotAKey(ValueError):
    """Bytes that are no private key of libp2p; says what they are, to follow the name of the file."""


@dataclass(frozen=True)
class KeyFacts:
    """What others may know of a private key."""

    kind: Literal["ed25519", "rsa"]
    peer_id: str
    """By which libp2p, hivemind and RL Swarm know the node."""
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
    raise NotAKey(
        f"holds a {_OTHER_KINDS.get(kind, f'kind {kind}')} key; a node's key is Ed25519, or RSA as RL Swarm makes it"
    )


def _fields(data: bytes) -> tuple[int, bytes]:
    """The kind and the data of a key."""
    if data.lstrip().startswith(b"-----BEGIN"):
        raise NotAKey("is a PEM text; a node's key, and RL Swarm's swarm.pem, is libp2p's own form (binary)")
    if len(data) < 4 or data[0] != 0x08 or data[1] > 0x7F or data[2] != 0x12:
        raise NotAKey("is not a private key of libp2p" if data else "is empty")
    length, begin = data[3], 4
    if length > 0x7F:  # protobuf's form of a length, of at most two bytes
        if len(data) < 5 or data[4] > 0x7F:
            raise NotAKey("is not a private key of libp2p")
        length, begin = length & 0x7F | data[4] << 7, 5
    key = data[begin:]
    if len(key) < length:
        raise NotAKey(f"is cut short: {len(key)} of {length} bytes of its key are there")
    if len(key) > length:
        raise NotAKey(f"has {len(key) - length} bytes after its key; it is damaged")
    return data[1], key


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
        private = load_der_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NotAKey("says that it holds an RSA key, which cannot be read; it is damaged") from error
    if not isinstance(private, RSAPrivateKey):
        raise NotAKey("says that it holds an RSA key, and holds another kind")
    if not _LEAST_RSA_BITS <= private.key_size <= _MOST_RSA_BITS:
        raise NotAKey(
            f"holds an RSA key of {private.key_size} bits; {_LEAST_RSA_BITS} to {_MOST_RSA_BITS} are taken"
        )
    if key != private.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()):
        raise NotAKey("holds an RSA key in another form than PKCS #1, which libp2p does not read")
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    # The key that signs is derived (HKDF, RFC 5869, without salt), so that one file remains the whole identity.
    seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=_SIGNING).derive(key)
    signing = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return KeyFacts("rsa", peer_id_of_rsa(public), signing.public_bytes_raw().hex())


def peer_id_of_ed25519(public: bytes) -> str:
    """The peer id of an Ed25519 key.

    Args:
        public: its 32 bytes.
    """
    return to_base58(_HASHED_WHOLE + public)


def peer_id_of_rsa(public: bytes) -> str:
    """The peer id of an RSA key.

    Args:
        public: its SubjectPublicKeyInfo in DER, of 128 to 16,383 bytes.
    """
    message = bytes((0x08, _RSA, 0x12, len(public) & 0x7F | 0x80, len(public) >> 7)) + public
    return to_base58(_HASHED + hashlib.sha256(message).digest())


def is_peer_id(text: str) -> bool:
    """Whether a text that somebody wrote is the peer id of an Ed25519 or RSA key."""
    if len(text) not in {46, 52} or any(letter not in _LETTERS for letter in text):
        return False
    data = from_base58(text)
    return any(data.startswith(kind) and len(data) == len(kind) + 32 for kind in (_HASHED_WHOLE, _HASHED))


def to_base58(data: bytes) -> str:
    """Bytes in base58; each leading zero byte is a `1`."""
    number = int.from_bytes(data, "big")
    letters = ""
    while number:
        number, digit = divmod(number, 58)
        letters = _LETTERS[digit] + letters
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + letters


def from_base58(text: str) -> bytes:
    """The bytes that a text in base58 stands for; all its letters are of base58."""
    number = 0
    for letter in text:
        number = number * 58 + _LETTERS.index(letter)
    leading = bytes(len(text) - len(text.lstrip("1")))
    return leading + number.to_bytes((number.bit_length() + 7) // 8, "big")


def animal_name(peer_id: str) -> str:
    """The animal name of a peer, `tall tame lion`; empty without the extra `genrl`, or without a peer id."""
    try:
        # This one module needs nothing: the rest of GenRL would load torch.
        from genrl.misc_utils.name_utils import get_name_from_peer_id
    except ModuleNotFoundError:
        return ""
    return str(get_name_from_peer_id(peer_id)) if peer_id else ""
