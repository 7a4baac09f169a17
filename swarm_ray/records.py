"""What travels between nodes and what is logged: plain msgspec structs, with neither torch nor Ray.

Field names follow the words of the SAPO paper (arXiv 2509.08721): a rollout is a question with its G completions.
"""

from __future__ import annotations

from typing import Annotated, Literal

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


class NodeKey(msgspec.Struct, frozen=True):
    """What others may know of a node's identity (`swarm_ray.identity`)."""

    peer_id: str
    public_key: str
    """Hex of the Ed25519 key that the node signs with."""


class Registration(msgspec.Struct, frozen=True):
    """Announces one incarnation of a node."""

    node: str
    incarnation: str
    worker: str
    config_hash: str
    versions: dict[str, str]
    started_at: str
    """Wall clock, ISO 8601, for people."""
    public_key: str = ""
    """Hex of the Ed25519 key that the node signs with."""
    peer_id: str = ""
    """By which libp2p knows the node: of the key in its identity file, as the public key is."""
    succeeds: str = ""
    """The incarnation that this one continues; empty for a node's first. Whoever registers has made sure that
    it is gone: by a lock on its own disk, or by a silence of `pace.dead_after_s`."""


Role = Literal["trainer", "coordinator", "relay"]
Reachable = Literal["public", "local", "nat", "none"]
MAX_MULTIADDRS = 8
"""The most addresses that a node announces."""
_Multiaddr = Annotated[str, msgspec.Meta(max_length=256)]
_PeerId = Annotated[str, msgspec.Meta(pattern=r"\A[1-9A-HJ-NP-Za-km-z]{0,64}\Z")]


class PeerRecord(msgspec.Struct, frozen=True):
    """How one incarnation of a node is found and reached; rewritten in place, in a folder that all experiments share.

    What stands here is the writer's word: addresses are parsed and tried before they are used.
    """

    node: str
    incarnation: str
    experiment: str
    peer_id: _PeerId = ""
    """Of the node's identity; empty where it has none."""
    role: Role = "trainer"
    """relay: it carries the links of others and trains nothing."""
    multiaddrs: Annotated[tuple[_Multiaddr, ...], msgspec.Meta(max_length=MAX_MULTIADDRS)] = ()
    """Of the link that carries this node, `/p2p/...` included; empty where files carry all."""
    via: _PeerId = ""
    """The peer id of that link: one of a trainer process serves all its nodes."""
    count: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Grows with each record: a sign of life."""
    reach: Reachable = "none"
    """public: from everywhere; local: from its own machine or network; nat: from its own machine only, as on Colab, or
    through a relay; none: it has no link."""
    started_at: str = ""
    """Wall clock, ISO 8601, for people."""
    left: bool = False
    """True in the last record: the node has ended."""


class NodeTotals(msgspec.Struct):
    """A node's sums since its first step."""

    reward: float = 0.0
    """Sum over rounds of the mean raw reward of own completions."""
    offered: int = 0
    used: int = 0
    rejected: int = 0
    generated_tokens: int = 0
    pass_at_1_start: float | None = None
    pass_at_1_end: float | None = None


LAST_WORD = "ended"
"""The phase in a trainer's last beat, whether or not it had taken its last step."""


class Reached(msgspec.Struct, frozen=True):
    """How the rollouts of a trainer's peers came in its last round; empty where nobody uses direct links."""

    direct: tuple[str, ...] = ()
    folder: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    """Nodes whose rollouts could not be fetched; they were asked to put them into the folder."""


class Beat(msgspec.Struct, frozen=True):
    """A sign of life with the node's progress in it; rewritten in place."""

    count: int
    round: int
    step: int
    phase: str
    totals: NodeTotals
    problem: str | None = None
    done: bool = False
    """True once the node has taken its last step, its spool is empty or given up, and its logs are written."""
    progress: int = 0
    """Counts what the trainer does (a token decoded, a pass, a look at the folder): one that hangs stands still,
    although its discovery goes on beating."""
    unanswered: tuple[int, ...] = ()
    """Rounds of published files that no state record has answered yet, the oldest first, at most 32."""
    alone: bool = False
    """True while the node trains without a coordinator."""
    skipped: int = -1
    """The last round for which the node hands nothing in, since its data failed; nobody need wait for it."""
    store: StoreUse | None = None
    """What the processes of discovery and of the logger of the node's worker asked of the folder so far; in the beat
    of the worker's first node alone. One that is restarted begins at 0. In the last word of a trainer's first node also
    what the trainer asked since its last row."""
    recovered: str = ""
    """What this incarnation took over from the one before and what not, in words; empty for a node's first."""
    reached: Reached | None = None
    """How the rollouts of other trainers' nodes came; None where nobody uses direct links."""


class CoordinatorBeat(msgspec.Struct, frozen=True):
    """A coordinator's sign of life, rewritten in place; its state records are signs of life too."""

    count: int
    epoch: int
    round: int


class ControlRequest(msgspec.Struct, frozen=True):
    """What somebody asks of the coordinator; it answers in the state log."""

    action: Literal["stop", "pause", "resume"]
    asked_at: str
    """Wall clock, ISO 8601, for people."""


class FileRef(msgspec.Struct, frozen=True):
    """A published round file as the state log names it."""

    node: str
    incarnation: str
    key: str
    sha256: str
    """Of the payload."""
    size: int
    step: int = 0
    """The node's count of updates when it published; at most one file counts per node, step and stage."""


class Refusal(msgspec.Struct, frozen=True):
    """A published round file that was not accepted, and why."""

    node: str
    key: str
    reason: str


class NodeTally(msgspec.Struct, frozen=True):
    """What the state log says of a node when a stage closes."""

    round: int
    """The last round of which a file of the node was accepted; -1 before the first."""
    step: int
    reward: float | None
    """Mean own reward in the stage that closed; None when the node's file is missing."""
    totals: NodeTotals
    problem: str | None = None


class StageClosed(msgspec.Struct, frozen=True):
    """How a stage ended."""

    round: int
    stage: int
    accepted: tuple[FileRef, ...]
    missing: tuple[str, ...]
    late: tuple[FileRef, ...]
    superseded: tuple[FileRef, ...]
    rejected: tuple[Refusal, ...]
    rewards: dict[str, float]
    informative: dict[str, int]
    winners: tuple[str, ...]
    seconds: float
    store: StoreUse | None = None
    """What the coordinator asked of the folder since it closed the stage before."""


class Answers(msgspec.Struct, frozen=True):
    """What became of files that came in while no stage was open, and of those that never came."""

    late: tuple[FileRef, ...] = ()
    superseded: tuple[FileRef, ...] = ()
    rejected: tuple[Refusal, ...] = ()
    expired: dict[str, tuple[int, ...]] = {}
    """Node to the rounds of files that it published and that never arrived; in the last record only."""


class Member(msgspec.Struct, frozen=True):
    """A node that takes part in a round."""

    node: str
    incarnation: str


class StageOpen(msgspec.Struct, frozen=True):
    """What opens; durations in seconds, never wall-clock deadlines."""

    round: int
    stage: int
    members: tuple[Member, ...]
    min_s: float
    max_s: float


class StateRecord(msgspec.Struct, frozen=True):
    """What closes one stage and opens the next: the commit point of the swarm."""

    state: str
    """waiting, running, paused, draining, finished, stopped or failed."""
    rounds: int
    closed: StageClosed | None
    opens: StageOpen | None
    tallies: dict[str, NodeTally]
    note: str = ""
    learned_nothing: bool = False
    """Every group of every node had zero advantage for `alarm_rounds` rounds in a row, up to this record."""
    barren: int = 0
    """Rounds in a row, up to this record, without an informative group in the whole swarm."""
    config_hash: str = ""
    """Of the configuration that holds from here on; empty for the one that `experiment.json` names."""
    answers: Answers | None = None
    """Files answered outside a stage; None where there were none."""
    replies: dict[str, str] = {}
    """Control requests answered by this record, id to what was done."""


class StoreUse(msgspec.Struct, frozen=True):
    """What a process asked of the shared folder."""

    operations: dict[str, int] = {}
    """Kind to count; the kinds are the fields of `drive_store.Operations` that count calls."""
    bytes_read: int = 0
    bytes_written: int = 0


class StepMetrics(msgspec.Struct):
    """One row of a node's metrics: a round it took part in."""

    node: str
    incarnation: str
    round: int
    step: int
    reward: float
    """Mean raw reward of own completions; the one that is summed and compared."""
    reward_by_specialty: dict[str, float]
    reward_mixed: float
    """Mean raw reward over the training batch, own and external: what the paper's logs show."""
    local: int
    """Own rollouts of this round."""
    external: int
    """External rollouts in the training batch."""
    counters: StepCounters
    trained: bool
    """False when no group had an advantage, so that no step was taken."""
    loss: float | None
    clip_share: float | None
    entropy: float | None
    """Nats per trained token."""
    grad_norm: float | None
    unfaithful: float
    """Share of own completions whose text does not encode to the sampled tokens again."""
    scoring_failures: int
    """Own completions on which the verifier failed or ran out of time."""
    seconds: dict[str, float]
    """The trainer's seconds per phase divided by its nodes, so that they add up over nodes."""
    alone: bool = False
    """True for a step that was taken without a coordinator."""
    replayed: bool = False
    """True for a step that was taken again, from the state log, after a restart."""
    store: StoreUse | None = None
    """What the trainer asked of the folder since its row before; on the first row of each of its rounds alone, and on
    none that was replayed, so that rows add up."""


class Evaluation(msgspec.Struct, frozen=True):
    """Held-out pass@1 of a node."""

    node: str
    when: str
    """start or end."""
    pass_at_1: float | None
    """Mean over specialties' questions and samples; None when nothing is held out."""
    by_specialty: dict[str, float]
    questions: dict[str, int]
    """Held-out questions asked per specialty."""


class Event(msgspec.Struct, frozen=True):
    """Something that happened, for people and programs."""

    kind: str
    text: str
    node: str = ""
    round: int = -1
    at: str = ""
    """Wall clock, ISO 8601, for people."""
