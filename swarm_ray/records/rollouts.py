"""What travels between nodes: questions, completions, rollouts, and the file that a node publishes per round.

Field names follow the words of the SAPO paper (arXiv 2509.08721): a rollout is a question with its G completions.
"""

from __future__ import annotations

import msgspec


class QuestionRef(msgspec.Struct, frozen=True):
    """Names a question so that anybody with the experiment's configuration can make it again."""

    specialty: str
    seed: int
    index: int
    text_hash: str
    """First 16 hex digits of the sha256 of the question's text (UTF-8)."""


class Completion(msgspec.Struct, frozen=True):
    """One decoded answer of a policy; `reward` is what the sender's verifier said, and no receiver believes it."""

    text: str
    reward: float
    finished: bool
    """True when the policy closed the completion with its end-of-sequence token."""


class Rollout(msgspec.Struct, frozen=True):
    """A question with its G completions: the unit that is shared and selected."""

    question: QuestionRef
    completions: tuple[Completion, ...]


class StepCounters(msgspec.Struct):
    """What one update of a node counted."""

    offered: int = 0
    """External rollouts in the files that the state record named (own trainer's other nodes included)."""
    used: int = 0
    rejected: dict[str, int] = {}
    """Rejected external rollouts by reason."""
    used_from: dict[str, int] = {}
    zero_advantage_local: int = 0
    zero_advantage_external: int = 0
    """External rollouts that passed verification and were dropped by the zero-advantage filter."""
    generated_tokens: int = 0


class Receipt(msgspec.Struct, frozen=True):
    """What a round file says of rollouts that travel through hivemind's DHT and not in the file itself."""

    key: str
    """The DHT's key."""
    sha256: str
    """Of the value: a whole round file, rollouts included."""
    size: int
    """Bytes of the value."""
    parts: int
    """Pieces that the value was split into."""
    rollouts: int
    game: bool = False
    """Whether the value holds a game's payload in place of rollouts."""


class Wanted(msgspec.Struct, frozen=True):
    """A value that a node could not fetch, and asks its owner to put into the folder."""

    node: str
    """The owner."""
    sha256: str


class RoundFile(msgspec.Struct, frozen=True):
    """The one file that a node publishes per stage."""

    step: int
    rollouts: tuple[Rollout, ...]
    reward: float | None
    """Mean raw reward of the node's own completions of this round. A GenRL game rewards after its last stage: its files
    tell the reward of the node's round before, and None where there was none."""
    informative: int
    """Own rollouts whose rewards differ (reward std above 1e-6); in a game, those of the round before."""
    generated_tokens: int
    vote: str | None = None
    """The peer whose completions the node's own verifier scored highest in the round before; informational."""
    previous: StepCounters | None = None
    alone: bool = False
    """Made while no coordinator was heard of; it is listed as late and counts in no round."""
    game: bytes = b""
    """What a GenRL game shares in this stage (`swarm_ray.genrl.wire`); such a file has no rollouts."""
    receipt: Receipt | None = None
    """Says where the rollouts are, where they are not in this file."""
    wants: tuple[Wanted, ...] = ()
    """Values of earlier rounds that the node asks for."""
