"""Receipts: what a node's file says in the folder of rollouts that travel through hivemind's DHT."""

from __future__ import annotations

import msgspec

from drive_store import payload_sha256
from swarm_ray.errors import MalformedFile
from swarm_ray.exchange.hivemind.chunking import MAX_VALUE
from swarm_ray.records.rollouts import Receipt, RoundFile
from swarm_ray.records.state import Moment

MAX_PARTS = 64


def value_key(experiment_uid: str, moment: Moment, node: str, sha256: str) -> str:
    """The DHT's key of a node's value: no other experiment, round, stage, node or content has it."""
    return f"swarm-ray/{experiment_uid}/r{moment.round}-s{moment.stage}/{node}/{sha256[:16]}"


def receipt_for(key: str, value: bytes, parts: int, file: RoundFile) -> RoundFile:
    """The round file that stands in the folder for one whose value is in the DHT."""
    receipt = Receipt(key, payload_sha256(value), len(value), parts, len(file.rollouts), bool(file.game))
    return msgspec.structs.replace(file, rollouts=(), game=b"", receipt=receipt)


def encode_value(file: RoundFile) -> bytes:
    """A whole round file, as it travels."""
    return msgspec.msgpack.encode(msgspec.structs.replace(file, wants=()))


def check_receipt(receipt: Receipt, experiment_uid: str, moment: Moment, node: str) -> None:
    """Make sure that a stranger's receipt names a value that can be the node's own.

    Raises:
        MalformedFile: it does not.
    """
    if receipt.key != value_key(experiment_uid, moment, node, receipt.sha256):
        raise MalformedFile("a receipt for another node's value, or another round's")
    if not (0 < receipt.size <= MAX_VALUE and 0 < receipt.parts <= MAX_PARTS):
        raise MalformedFile(f"a receipt for {receipt.size} bytes in {receipt.parts} parts")
    if len(receipt.sha256) != 64 or not set(receipt.sha256) <= set("0123456789abcdef"):
        raise MalformedFile("a receipt without a hash")
