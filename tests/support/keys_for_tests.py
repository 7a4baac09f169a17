"""Keys as hivemind's own code writes them: protobuf by its rules, written out here."""

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

RSA, ED25519, SECP256K1 = 0, 1, 2
PKCS1, PKCS8 = PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8


def message(kind: int, data: bytes) -> bytes:
    """A key's file: field 1 is its kind, field 2 its bytes."""
    length, rest = b"", len(data)
    while rest >= 0x80:
        length, rest = length + bytes((rest & 0x7F | 0x80,)), rest >> 7
    return bytes((0x08, kind, 0x12)) + length + bytes((rest,)) + data


def rsa_key(bits: int, form: PrivateFormat = PKCS1) -> bytes:
    """An RSA key; in PKCS #1 unless another form is asked for."""
    return message(RSA, der(rsa.generate_private_key(public_exponent=65537, key_size=bits), form))


def ec_key() -> bytes:
    """A key of another kind, which says that it is RSA."""
    return message(RSA, der(ec.generate_private_key(ec.SECP256R1())))


def der(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: PrivateFormat = PKCS1) -> bytes:
    return key.private_bytes(Encoding.DER, form, NoEncryption())
