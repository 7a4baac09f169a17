"""Round files of other nodes: decoded field by field, and bounded before anything else looks at them."""

from __future__ import annotations

import msgspec

from swarm_ray.errors import MalformedFile
from swarm_ray.records import RoundFile

MAX_ROUND_FILE = 32 << 20
"""Most bytes of a round file's payload; a larger one is refused before it is decompressed."""
MAX_ROLLOUTS, MAX_COMPLETIONS, MAX_TEXT = 256, 256, 100_000
MAX_COUNT = 1 << 40
"""More than any honest count; sums of what strangers claim stay numbers that every reader can take."""
_DECODER = msgspec.msgpack.Decoder(RoundFile)


def decode_round_file(payload: bytes) -> RoundFile:
    """A round file from the bytes of an envelope, checked field by field.

    Raises:
        MalformedFile: it is not a round file, or larger than any honest one.
    """
    try:
        file = _DECODER.decode(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedFile(f"not a round file: {error}") from error
    if len(file.rollouts) > MAX_ROLLOUTS:
        raise MalformedFile(f"{len(file.rollouts)} rollouts, more than {MAX_ROLLOUTS}")
    for rollout in file.rollouts:
        if not 1 <= len(rollout.completions) <= MAX_COMPLETIONS:
            raise MalformedFile(f"{len(rollout.completions)} completions, not 1 to {MAX_COMPLETIONS}")
        if any(len(c.text) > MAX_TEXT for c in rollout.completions):
            raise MalformedFile(f"a completion of more than {MAX_TEXT} characters")
    if not 0 <= file.reward <= 1:
        raise MalformedFile("a reward that is not between 0 and 1")
    if not all(0 <= count <= MAX_COUNT for count in _counts(file)) or file.informative > len(file.rollouts):
        raise MalformedFile("a count below zero or beyond any honest one")
    return file


def _counts(file: RoundFile) -> list[int]:
    """All that a file counts."""
    counts = [file.step, file.informative, file.generated_tokens]
    if (step := file.previous) is not None:
        counts += [step.offered, step.used, step.generated_tokens]
        counts += [step.zero_advantage_local, step.zero_advantage_external]
        counts += [*step.rejected.values(), *step.used_from.values()]
    return counts
