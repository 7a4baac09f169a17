"""Peer ids of libp2p: a multihash of a public key, written in base58.

https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md says how. A public key is a protobuf message of its
kind and its bytes; one of at most 42 bytes is its own "identity" hash (`12D3Koo...`), any other one is hashed by
sha2-256 (`Qm...`).
"""

from __future__ import annotations

import hashlib

_LETTERS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_LONGEST = 60
"""Letters; a peer id has 46 or 52."""
_ED25519_PUBLIC = b"\x08\x01\x12\x20"
"""Kind 1 and 32 bytes of key, as protobuf."""
_HASHED_WHOLE = b"\x00\x24" + _ED25519_PUBLIC
"""The "identity" multihash (not a hash), and the beginning of the 36 bytes of an Ed25519 key's message."""
_HASHED = b"\x12\x20"
"""A multihash by sha2-256: 32 bytes follow."""


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
    length = bytes((len(public) & 0x7F | 0x80, len(public) >> 7))
    message = b"\x08\x00\x12" + length + public
    return to_base58(_HASHED + hashlib.sha256(message).digest())


def is_peer_id(text: str) -> bool:
    """Whether a text that somebody wrote is the peer id of an Ed25519 or RSA key."""
    if not text or len(text) > _LONGEST or any(letter not in _LETTERS for letter in text):
        return False
    data = from_base58(text)
    if data.startswith(_HASHED_WHOLE):
        return len(data) == len(_HASHED_WHOLE) + 32
    return data.startswith(_HASHED) and len(data) == len(_HASHED) + 32


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
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def animal_name(peer_id: str) -> str:
    """The animal name of a peer, `tall tame lion`; empty without the extra `genrl`, or without a peer id."""
    if not peer_id:
        return ""
    try:
        # This one module needs nothing: the rest of GenRL would load torch.
        from genrl.misc_utils.name_utils import get_name_from_peer_id
    except ModuleNotFoundError:
        return ""
    return str(get_name_from_peer_id(peer_id))
