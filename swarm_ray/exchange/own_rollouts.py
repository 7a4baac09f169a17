"""What a node made itself, kept for the process that comes after it: the round file, and beside it the tokens.

The published file holds text alone. The tokens that were sampled stay on the machine's own disk, in the attachment
of the spool's entry, so that a step that is taken again is the same step even where a text does not encode to them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from drive_store import UNREADABLE
from swarm_ray.errors import MalformedFile
from swarm_ray.exchange.validation import decode_round_file
from swarm_ray.policies.policy import Generated, Policy
from swarm_ray.records.rollouts import Rollout
from swarm_ray.sapo.batch import OwnRollout
from swarm_ray.sapo.selection import ScoredRollout
from swarm_ray.tasks.questions import TaskSet


class _Sampled(msgspec.Struct, frozen=True, array_like=True):
    """The tokens of one completion."""

    ids: tuple[int, ...]
    reencodes: bool


class _Made(msgspec.Struct, frozen=True, array_like=True):
    """What the file does not say of one rollout."""

    sampled: tuple[_Sampled, ...]
    failures: int


class _Kept(msgspec.Struct, frozen=True):
    """What stays on the machine's own disk beside a round file."""

    made: tuple[_Made, ...]
    value: bytes = b""


_DECODER = msgspec.msgpack.Decoder(_Kept)


def encode_kept(own: Sequence[OwnRollout], value: bytes = b"") -> bytes:
    """The attachment that goes with a node's round file.

    Args:
        own: the node's rollouts.
        value: what the file stands for, where it is a receipt.
    """
    made = (_Made(tuple(_Sampled(g.ids, g.reencodes) for g in o.generated), o.failures) for o in own)
    return msgspec.msgpack.encode(_Kept(tuple(made), value))


def kept_value(attachment: bytes) -> bytes:
    """The value that is kept beside a receipt; empty beside a whole file.

    Raises:
        MalformedFile: the attachment cannot be read.
    """
    return _decode_kept(attachment).value if attachment else b""


def decode_own(
    node: str, payload: bytes, attachment: bytes, tasks: TaskSet, policy: Policy
) -> list[OwnRollout]:
    """The rollouts of one of the node's own files, ready to be learned from.

    Args:
        node: its id.
        payload: the round file.
        attachment: of `encode_kept`; empty where only the folder has the file, and then the tokens are those of the
            texts.
        tasks: makes the questions again.
        policy: encodes the texts.

    Raises:
        MalformedFile: the two do not belong together, or are not what they should be.
        UnknownQuestionError: a question does not belong to this experiment.
    """
    kept = _decode_kept(attachment) if attachment else None
    file = decode_round_file(kept.value if kept and kept.value else payload)
    if file.receipt is not None:
        raise MalformedFile(f"the rollouts of {node} travelled directly, and no copy of them was kept")
    made = kept.made if kept else [_encoded(policy, r) for r in file.rollouts]
    if [len(m.sampled) for m in made] != [len(r.completions) for r in file.rollouts]:
        raise MalformedFile(f"the tokens kept for {node} belong to another round file")
    own = []
    for number, (rollout, part) in enumerate(zip(file.rollouts, made, strict=True)):
        scored = ScoredRollout(node, number, tasks.verify(rollout.question), rollout.completions)
        generated = tuple(
            Generated(c.text, s.ids, c.finished, s.reencodes)
            for c, s in zip(rollout.completions, part.sampled, strict=True)
        )
        own.append(OwnRollout(scored, generated, part.failures))
    return own


def _decode_kept(attachment: bytes) -> _Kept:
    try:
        return _DECODER.decode(attachment)
    except UNREADABLE as error:
        raise MalformedFile(f"the tokens beside an own round file cannot be read: {error}") from error


def _encoded(policy: Policy, rollout: Rollout) -> _Made:
    texts = [(c.text, c.finished) for c in rollout.completions]
    return _Made(tuple(_Sampled(policy.encode(*text), reencodes=True) for text in texts), 0)
