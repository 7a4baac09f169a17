"""Validates what other nodes publish: round files and receipts, field by field, before anything else looks at them."""

from __future__ import annotations

import msgspec

from drive_store import (
    UNREADABLE,
    Corrupt,
    ExperimentStore,
    NotYet,
    Rejected,
    Valid,
    read_round_file,
    read_value,
)
from swarm_ray.errors import MalformedFile
from swarm_ray.exchange.hivemind.messages import MAX_VALUE
from swarm_ray.records.refusals import RefusalKind
from swarm_ray.records.rollouts import Receipt, RoundFile
from swarm_ray.records.state import FileRef, Moment

MAX_ROUND_FILE = 32 << 20
"""Most bytes of a round file's payload; a larger one is refused before it is decompressed."""
MAX_ROLLOUTS, MAX_COMPLETIONS, MAX_TEXT = 256, 256, 100_000
MAX_WANTS = 1024
"""Values that one file may ask for."""
MAX_GAME_REWARD = 1e6
"""Games add rewards up as they like; the mean of a round's is bounded all the same."""
MAX_COUNT = 1 << 40
"""More than any honest count; sums of what strangers claim stay numbers that every reader can take."""
MAX_PARTS = 64
"""Of a value in the DHT."""
_DECODER = msgspec.msgpack.Decoder(RoundFile)


def decode_round_file(payload: bytes) -> RoundFile:
    """A round file from the bytes of an envelope, checked field by field.

    Raises:
        MalformedFile: it is not a round file, or larger than any honest one.
    """
    try:
        file = _DECODER.decode(payload)
    except UNREADABLE as error:
        raise MalformedFile(f"not a round file: {error}") from error
    _check_rollouts(file)
    _check_reward(file)
    if not all(0 <= count <= MAX_COUNT for count in _counts(file)) or file.informative > _groups(file):
        raise MalformedFile("a count below zero or beyond any honest one")
    return file


_KINDS = {NotYet: RefusalKind.NOT_YET, Corrupt: RefusalKind.CORRUPT, Rejected: RefusalKind.REJECTED}


def refusal_reason(reading: NotYet | Corrupt | Rejected) -> str:
    """The reason to store for a file that could not be read."""
    return f"{_KINDS[type(reading)]}: {reading.reason}"


def read_peer_file(experiment: ExperimentStore, ref: FileRef) -> RoundFile | NotYet | str:
    """A file that a record or a listing names: decoded, not visible yet, or the reason why it is refused.

    Raises:
        StoreError: the folder cannot be read.
    """
    reading = read_round_file(
        experiment,
        ref.key,
        node=ref.node,
        incarnation=ref.incarnation,
        sha256=ref.sha256 or None,
        max_payload=MAX_ROUND_FILE,
    )
    if isinstance(reading, NotYet):
        return reading
    if not isinstance(reading, Valid):
        return refusal_reason(reading)
    try:
        return decode_round_file(reading.payload)
    except MalformedFile as error:
        return str(error)


def read_peer_value(
    experiment: ExperimentStore, ref: FileRef, moment: Moment, receipt: Receipt
) -> RoundFile | NotYet | str:
    """What a receipt stands for, where its owner put it into the folder; not visible yet, or why it is refused.

    Raises:
        StoreError: the folder cannot be read.
    """
    reading = read_value(
        experiment,
        node=ref.node,
        incarnation=ref.incarnation,
        round=moment.round,
        stage=moment.stage,
        sha256=receipt.sha256,
        max_payload=MAX_ROUND_FILE,
    )
    if isinstance(reading, NotYet):
        return reading
    return decode_value(reading.payload, receipt) if isinstance(reading, Valid) else refusal_reason(reading)


def decode_value(value: bytes, receipt: Receipt) -> RoundFile | str:
    """The file in a value from any source, or why the value is refused."""
    if len(value) != receipt.size:
        return f"a value of {len(value)} bytes, and its receipt says {receipt.size}"
    try:
        file = decode_round_file(value)
    except MalformedFile as error:
        return str(error)
    if (len(file.rollouts), bool(file.game)) != (receipt.rollouts, receipt.game):
        return "other contents than its receipt says"
    return file


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


def value_key(experiment_uid: str, moment: Moment, node: str, sha256: str) -> str:
    """The DHT's key of a node's value: no other experiment, round, stage, node or content has it."""
    return f"swarm-ray/{experiment_uid}/r{moment.round}-s{moment.stage}/{node}/{sha256[:16]}"


def _check_rollouts(file: RoundFile) -> None:
    if len(file.rollouts) > MAX_ROLLOUTS:
        raise MalformedFile(f"{len(file.rollouts)} rollouts, more than {MAX_ROLLOUTS}")
    for rollout in file.rollouts:
        if not 1 <= len(rollout.completions) <= MAX_COMPLETIONS:
            raise MalformedFile(f"{len(rollout.completions)} completions, not 1 to {MAX_COMPLETIONS}")
        if any(len(c.text) > MAX_TEXT for c in rollout.completions):
            raise MalformedFile(f"a completion of more than {MAX_TEXT} characters")
    if len(file.wants) > MAX_WANTS:
        raise MalformedFile(f"{len(file.wants)} values asked for, more than {MAX_WANTS}")
    if file.rollouts and (file.game or file.receipt):
        raise MalformedFile("rollouts beside a game's own, or beside a receipt for them")
    if file.game and file.receipt:
        raise MalformedFile("a game's payload beside a receipt for it")


def _check_reward(file: RoundFile) -> None:
    if _is_of_a_game(file):
        if file.reward is not None and not abs(file.reward) <= MAX_GAME_REWARD:
            raise MalformedFile("a reward that no game gives")
    elif file.reward is None or not 0 <= file.reward <= 1:
        raise MalformedFile("a reward that is not between 0 and 1")


def _is_of_a_game(file: RoundFile) -> bool:
    return bool(file.game) or (file.receipt is not None and file.receipt.game)


def _groups(file: RoundFile) -> int:
    """How many own groups the file can tell of."""
    if _is_of_a_game(file):
        return MAX_ROLLOUTS
    return min(file.receipt.rollouts, MAX_ROLLOUTS) if file.receipt else len(file.rollouts)


def _counts(file: RoundFile) -> list[int]:
    """All that a file counts."""
    counts = [file.step, file.informative, file.generated_tokens]
    if file.receipt is not None:
        counts += [file.receipt.size, file.receipt.parts, file.receipt.rollouts]
    if (step := file.previous) is not None:
        counts += [step.offered, step.used, step.generated_tokens]
        counts += [step.zero_advantage_local, step.zero_advantage_external]
        counts += [*step.rejected.values(), *step.used_from.values()]
    return counts
