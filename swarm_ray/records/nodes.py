"""What a process says of its nodes: registrations, heartbeats, peer records."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from swarm_ray.records.rollouts import StepCounters


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
    """The incarnation that this one continues; empty for a node's first. The registering process
    made sure that it is gone: by a lock on its disk, or by a silence of `pace.dead_after_s`."""


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
    """Grows with each record: a heartbeat."""
    reach: Reachable = "none"
    """public: from everywhere; local: from its own machine or network; nat: from its own machine only, as on Colab, or
    through a relay; none: it has no link."""
    started_at: str = ""
    """Wall clock, ISO 8601, for people."""
    left: bool = False
    """True in the last record: the node has ended."""


class StoreUse(msgspec.Struct, frozen=True):
    """What a process asked of the shared folder."""

    operations: dict[str, int] = {}
    """Kind to count; the kinds are the fields of `drive_store.Operations` that count calls."""
    bytes_read: int = 0
    bytes_written: int = 0


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

    def count(self, step: StepCounters) -> None:
        """Add what one update counted of other nodes' rollouts."""
        self.offered += step.offered
        self.used += step.used
        self.rejected += sum(step.rejected.values())


FINAL_PHASE = "ended"
"""The phase in a trainer's final heartbeat, whether or not it had taken its last step."""


class Reached(msgspec.Struct, frozen=True):
    """How the rollouts of a trainer's peers came in its last round; empty where nobody uses direct links."""

    direct: tuple[str, ...] = ()
    folder: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    """Nodes whose rollouts could not be fetched; they were asked to put them into the folder."""


class Beat(msgspec.Struct, frozen=True):
    """A heartbeat with the node's progress in it; rewritten in place."""

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
    although its discovery still sends heartbeats."""
    unanswered: tuple[int, ...] = ()
    """Rounds of published files that no state record has answered yet, the oldest first, at most 32."""
    alone: bool = False
    """True while the node trains without a coordinator."""
    skipped: int = -1
    """The last round for which the node hands nothing in, since its data failed; no node needs to wait for it."""
    store: StoreUse | None = None
    """Store operations of the worker's discovery and logger so far, in the heartbeats of its first node alone; counted
    from 0 after a restart. The final heartbeat of a trainer's first node also has what the trainer asked since its
    last row."""
    recovered: str = ""
    """What this incarnation took over from the one before and what not, in words; empty for a node's first."""
    reached: Reached | None = None
    """How the rollouts of other trainers' nodes came; None where nobody uses direct links."""

    @property
    def ended(self) -> bool:
        """Whether the node takes no further step in this process: it is done, was ended, or has failed."""
        return self.done or self.phase == FINAL_PHASE or self.problem is not None


class CoordinatorBeat(msgspec.Struct, frozen=True):
    """A coordinator's heartbeat, rewritten in place; its state records count as heartbeats too."""

    count: int
    epoch: int
    round: int
