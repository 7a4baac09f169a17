"""Validates what other nodes publish: round files and receipts, field by field, before anything else looks at them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from drive_store import (
    RETRYABLE,
    UNREADABLE,
    Corrupt,
    ExperimentStore,
    NotYet,
    Reading,
    Rejected,
    Valid,
    read_round_file,
    read_value,
)
from swarm_ray.errors import MalformedFile
from swarm_ray.exchange.hivemind.messages import MAX_VALUE
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.records.rollouts import Receipt, RoundFile, StepCounters
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
    if problem := _problem(file):
        raise MalformedFile(problem)
    return file


def refusal_reason(reading: NotYet | Corrupt | Rejected) -> str:
    """The reason to store for a file that could not be read; its kind is one of `RefusalKind`."""
    return f"{type(reading).__name__}: {reading.reason}"


def read_peer_file(experiment: ExperimentStore, ref: FileRef) -> RoundFile | NotYet | str:
    """A file that a record or a listing names: decoded, not visible yet, or the reason why it is refused.

    Raises:
        StoreError: the folder cannot be read.
    """
    return _content(
        read_round_file(
            experiment,
            ref.key,
            node=ref.node,
            incarnation=ref.incarnation,
            sha256=ref.sha256 or None,
            max_payload=MAX_ROUND_FILE,
        )
    )


def read_peer_value(
    experiment: ExperimentStore, ref: FileRef, moment: Moment, receipt: Receipt
) -> RoundFile | NotYet | str:
    """What a receipt stands for, where its owner put it into the folder; not visible yet, or why it is refused.

    Raises:
        StoreError: the folder cannot be read.
    """
    return _content(
        read_value(
            experiment,
            node=ref.node,
            incarnation=ref.incarnation,
            round=moment.round,
            stage=moment.stage,
            sha256=receipt.sha256,
            max_payload=MAX_ROUND_FILE,
        ),
        receipt,
    )


def read_whole_file(experiment: ExperimentStore, ref: FileRef, moment: Moment) -> RoundFile | NotYet | str:
    """A file with its rollouts; a receipt counts if its value lies in the folder too.

    Raises:
        StoreError: the folder cannot be read.
    """
    file = read_peer_file(experiment, ref)
    if isinstance(file, RoundFile) and file.receipt is not None:
        value = read_peer_value(experiment, ref, moment, file.receipt)
        missing = "its rollouts travelled directly, and the folder has no copy of them"
        return missing if isinstance(value, NotYet) else value
    return file


def read_accepted(
    experiment: ExperimentStore, state: StateFollower, refs: Sequence[FileRef]
) -> list[tuple[FileRef, RoundFile | str]]:
    """Files that a record names, each read once, or why one is refused.

    A file that is not visible here yet is looked for until `pace.settle_s` has passed.

    Raises:
        StopRequested: the worker was told to stop.
    """
    deadline = time.monotonic() + state.pace.settle_s
    found = {ref.key: _read(experiment, state, ref) for ref in refs}
    while time.monotonic() < deadline:
        waiting = [ref for ref in refs if isinstance(found[ref.key], NotYet | None)]
        if not waiting:
            break
        state.pause()
        found |= {ref.key: _read(experiment, state, ref) for ref in waiting}
    return [(ref, _settled(found[ref.key])) for ref in refs]


def _read(experiment: ExperimentStore, state: StateFollower, ref: FileRef) -> RoundFile | NotYet | str | None:
    """The file, or why it is refused; None while the folder is out of reach."""
    try:
        return read_peer_file(experiment, ref)
    except RETRYABLE as error:
        state.problem = error
        return None


def _settled(file: RoundFile | NotYet | str | None) -> RoundFile | str:
    """What stands at the end of a wait."""
    if file is None:
        return "the folder was out of reach"
    return refusal_reason(file) if isinstance(file, NotYet) else file


def _content(reading: Reading, receipt: Receipt | None = None) -> RoundFile | NotYet | str:
    if isinstance(reading, Valid):
        return decode_value(reading.payload, receipt)
    return reading if isinstance(reading, NotYet) else refusal_reason(reading)


def decode_value(value: bytes, receipt: Receipt | None = None) -> RoundFile | str:
    """The file in a value from any source, or why it is refused: by itself, or since its receipt says otherwise."""
    if receipt and len(value) != receipt.size:
        return f"a value of {len(value)} bytes, and its receipt says {receipt.size}"
    try:
        file = decode_round_file(value)
    except MalformedFile as error:
        return str(error)
    if receipt and (len(file.rollouts), bool(file.game)) != (receipt.rollouts, receipt.game):
        return "other contents than its receipt says"
    return file


def receipt_problem(receipt: Receipt, experiment_uid: str, moment: Moment, node: str) -> str:
    """Why a stranger's receipt names no value that can be the node's own; empty where it does."""
    if receipt.key != value_key(experiment_uid, moment, node, receipt.sha256):
        return "a receipt for another node's value, or another round's"
    if not (0 < receipt.size <= MAX_VALUE and 0 < receipt.parts <= MAX_PARTS):
        return f"a receipt for {receipt.size} bytes in {receipt.parts} parts"
    if len(receipt.sha256) != 64 or not set(receipt.sha256) <= set("0123456789abcdef"):
        return "a receipt without a hash"
    return ""


def value_key(experiment_uid: str, moment: Moment, node: str, sha256: str) -> str:
    """The DHT's key of a node's value: no other experiment, round, stage, node or content has it."""
    return f"swarm-ray/{experiment_uid}/r{moment.round}-s{moment.stage}/{node}/{sha256[:16]}"


def _problem(file: RoundFile) -> str:
    """What no honest node says in a file; empty where nothing is wrong."""
    receipt, previous = file.receipt or Receipt("", "", 0, 0, 0), file.previous or StepCounters()
    of_a_game = bool(file.game) or receipt.game
    groups = MAX_ROLLOUTS if of_a_game else min(max(len(file.rollouts), receipt.rollouts), MAX_ROLLOUTS)
    least, most = (-MAX_GAME_REWARD, MAX_GAME_REWARD) if of_a_game else (0, 1)
    sizes = [len(rollout.completions) for rollout in file.rollouts]
    unsized = [size for size in sizes if not 1 <= size <= MAX_COMPLETIONS]
    counts = [
        file.step,
        file.informative,
        file.generated_tokens,
        receipt.size,
        receipt.parts,
        receipt.rollouts,
    ]
    counts += [previous.offered, previous.used, previous.generated_tokens, previous.zero_advantage_local]
    counts += [previous.zero_advantage_external, *previous.rejected.values(), *previous.used_from.values()]
    problems = {
        f"{len(sizes)} rollouts, more than {MAX_ROLLOUTS}": len(sizes) > MAX_ROLLOUTS,
        f"{sum(unsized[:1])} completions, not 1 to {MAX_COMPLETIONS}": unsized,
        f"a completion of more than {MAX_TEXT} characters": any(
            len(c.text) > MAX_TEXT for rollout in file.rollouts for c in rollout.completions
        ),
        f"{len(file.wants)} values asked for, more than {MAX_WANTS}": len(file.wants) > MAX_WANTS,
        "rollouts beside a game's own, or beside a receipt for them": sizes and (file.game or file.receipt),
        "a game's payload beside a receipt for it": file.game and file.receipt,
        "a reward that no game gives" if of_a_game else "a reward that is not between 0 and 1": (
            not of_a_game if file.reward is None else not least <= file.reward <= most
        ),
        "a count below zero or beyond any honest one": (
            file.informative > groups or not all(0 <= count <= MAX_COUNT for count in counts)
        ),
    }
    return next((problem for problem, found in problems.items() if found), "")
