"""One round of SAPO without a folder: nodes with blank models, and an exchange that is a dictionary."""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from swarm_for_tests import small_config

from swarm_ray.config.schema import SwarmConfig
from swarm_ray.machine.local_disk import cache_folder
from swarm_ray.policies.policy import Policy
from swarm_ray.policies.tiny.loading import TinyStart
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.rollouts import Completion, QuestionRef, Rollout, RoundFile
from swarm_ray.records.state import FileRef, StageClosed
from swarm_ray.sapo.node import Node
from swarm_ray.sapo.phases import PhaseClock
from swarm_ray.sapo.pool import PeerFile, ScoredRollout, Verifier
from swarm_ray.sapo.round import RoundContext, run_round
from swarm_ray.tasks.questions import TaskSet


@dataclass
class MemoryExchange:
    """Keeps what nodes publish, accepts all but the files of `late`, and adds what `foreign` nodes share."""

    foreign: list[PeerFile] = field(default_factory=list)
    late: tuple[str, ...] = ()
    files: dict[int, dict[str, RoundFile]] = field(default_factory=dict)
    made: dict[tuple[str, int], list[ScoredRollout]] = field(default_factory=dict)
    """What earlier processes made, by node and round."""

    def adopt(self, node: Node, number: int) -> list[ScoredRollout] | None:
        return self.made.get((node.id, number))

    def publish(self, node: Node, number: int, file: RoundFile, own: Sequence[ScoredRollout]) -> None:
        self.files.setdefault(number, {})[node.id] = file

    def wait_closed(self, number: int) -> StageClosed:
        accepted = [n for n in sorted(self.files.get(number, {})) if n not in self.late]
        refs = tuple(FileRef(n, "00000001", f"key-of-{n}", "ab" * 32, 1) for n in accepted)
        return msgspec.structs.replace(StageClosed.empty(number, 0), accepted=refs, seconds=1.0)

    def gather(self, closed: StageClosed, without: Sequence[str]) -> list[PeerFile]:
        here = [ref.node for ref in closed.accepted if ref.node not in without]
        files = self.files.get(closed.round, {})
        return [PeerFile(n, files[n].rollouts) for n in here] + self.foreign


class Laboratory:
    """Nodes, called node-0 and so on, and all that a round needs around them."""

    def __init__(
        self, verifier: Verifier, count: int = 3, exchange: MemoryExchange | None = None, **changes: Any
    ) -> None:
        self.config = small_config(nodes=count, **changes)
        self.tasks = TaskSet(self.config.tasks)
        self.exchange = exchange or MemoryExchange()
        policies = blank_policies(self.config, self.tasks, verifier, count)
        self.nodes = [Node(f"node-{n}", f"{n:08x}", p) for n, p in enumerate(policies)]
        self.lost: list[str] = []
        around = (self.config, self.tasks, verifier, self.exchange, PhaseClock(time.perf_counter))
        self.context = RoundContext(*around, lambda node: self.lost.append(node.id))

    def run(self, number: int = 0, nodes: Sequence[Node] | None = None) -> list[StepMetrics]:
        """One round, of all nodes or some."""
        return run_round(self.nodes if nodes is None else nodes, number, self.context)

    def question(self, index: int, specialty: str = "coin") -> QuestionRef:
        """The name of a question that is not held out, the first one from `index` on."""
        made = (self.tasks.question(specialty, self.config.tasks.seed, i) for i in itertools.count(index))
        return next(question.ref for question in made if not self.tasks.is_held_out(question.text))

    def weights(self) -> list[dict[str, torch.Tensor]]:
        """A copy of every node's weights."""
        return [{k: v.clone() for k, v in n.policy.model.state_dict().items()} for n in self.nodes]


def blank_policies(
    config: SwarmConfig, tasks: TaskSet, verifier: Verifier, count: int, cache: Path | None = None
) -> list[Policy]:
    """Policies without training."""
    start = TinyStart(config.policy, tasks, verifier, cache or cache_folder(), lambda *_: None)
    policies = [start.policy(n) for n in range(count)]
    for policy in policies:
        policy.use(config.grpo)
    return policies


def same_weights(ones: list[dict[str, torch.Tensor]], others: list[dict[str, torch.Tensor]]) -> list[bool]:
    """Per node, whether its weights are equal bit for bit."""
    return [all(torch.equal(one[k], other[k]) for k in one) for one, other in zip(ones, others, strict=True)]


def shared(question: QuestionRef, *texts: str, reward: float = 1.0) -> Rollout:
    """A rollout with these completions, all finished, and whatever rewards its sender claims."""
    return Rollout(question, tuple(Completion(text, reward, finished=True) for text in texts))
