"""The pool of a round: the rollouts of every accepted file, verified and scored by the own verifier.

Nothing a peer says about answers or rewards is believed: a question is made again from its name, and each completion
is scored here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from swarm_ray.errors import UnknownQuestionError
from swarm_ray.policies.policy import SampledCompletion
from swarm_ray.records.refusals import RolloutRefusal
from swarm_ray.records.rollouts import Completion, Rollout
from swarm_ray.sapo.grpo import is_zero_advantage
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Verifier
from swarm_ray.tasks.scoring_client import Score, ScoreItem
from swarm_ray.tasks.task import Question


@dataclass(frozen=True)
class ScoredRollout:
    """A rollout with the question made again and the completions scored by this trainer's own verifier."""

    node: str
    """Who generated it."""
    number: int
    """Its index in that node's file."""
    question: Question
    completions: tuple[Completion, ...]
    """With the rewards of the own verifier."""
    sampled: tuple[SampledCompletion, ...] = ()
    """The same completions with the tokens that were sampled, where a node of this trainer made them."""
    failures: int = 0
    """Completions on which the verifier failed or ran out of time."""

    @property
    def rewards(self) -> list[float]:
        """One reward per completion."""
        return [c.reward for c in self.completions]

    @property
    def zero_advantage(self) -> bool:
        """Whether all completions were rewarded alike."""
        return is_zero_advantage(self.rewards)

    @property
    def sampled_tokens(self) -> int:
        """Tokens that were generated for it here."""
        return sum(len(c.ids) for c in self.sampled)


@dataclass(frozen=True)
class PeerFile:
    """What another node shared: rollouts, or the reason for which its file was refused."""

    node: str
    rollouts: tuple[Rollout, ...] = ()
    refused: str = ""
    """A reason; empty when the file was read whole."""


@dataclass
class Pool:
    """All that a trainer's nodes may learn from in a round, and what was refused."""

    rollouts: list[ScoredRollout] = field(default_factory=list)
    refused: dict[str, Counter[str]] = field(default_factory=dict)
    """Refused rollouts by sender and reason; a file that cannot be read counts as one."""

    def offered_to(self, node: str) -> int:
        """External rollouts that reached `node`, the refused ones among them."""
        refused = sum(c.total() for sender, c in self.refused.items() if sender != node)
        return refused + sum(r.node != node for r in self.rollouts)

    def refused_for(self, node: str) -> dict[str, int]:
        """Refused external rollouts by reason, as `node` counts them."""
        return dict(sum((c for sender, c in self.refused.items() if sender != node), Counter[str]()))

    def best_peer(self, node: str) -> str | None:
        """The peer whose completions were worth most on average; the smaller id among equals."""
        rewards: dict[str, list[float]] = {}
        for rollout in self.rollouts:
            if rollout.node != node:
                rewards.setdefault(rollout.node, []).extend(rollout.rewards)
        return min(rewards, key=lambda peer: (-sum(rewards[peer]) / len(rewards[peer]), peer), default=None)


def score_own(
    questions: Mapping[str, Sequence[Question]],
    generated: Mapping[str, Sequence[Sequence[SampledCompletion]]],
    verifier: Verifier,
) -> dict[str, list[ScoredRollout]]:
    """Score what this trainer's nodes generated, all completions in one request.

    Args:
        questions: by node id.
        generated: by node id, for each of its questions the completions; nodes without an entry have none.
        verifier: scores the completions.
    """
    made = [(n, q, g) for n in generated for q, g in zip(questions[n], generated[n], strict=True)]
    scores = _score([(question, group) for _, question, group in made], verifier)
    own: dict[str, list[ScoredRollout]] = {n: [] for n in generated}
    for (node, question, group), found in zip(made, scores, strict=True):
        completions = tuple(
            Completion(c.text, s.reward, c.finished) for c, s in zip(group, found, strict=True)
        )
        own[node].append(
            ScoredRollout(
                node,
                len(own[node]),
                question,
                completions,
                sampled=tuple(group),
                failures=sum(score.outcome != "ok" for score in found),
            )
        )
    return own


def build_pool(
    files: Sequence[PeerFile],
    own: Mapping[str, Sequence[ScoredRollout]],
    tasks: TaskSet,
    verifier: Verifier,
) -> Pool:
    """Verify and score all files in one request to the verifier, and add what this trainer's own nodes made.

    Args:
        files: files of nodes of other trainers.
        own: rollouts of this trainer's nodes by node id, scored already.
        tasks: makes questions again from their names.
        verifier: scores the completions.
    """
    pool = Pool([r for rollouts in own.values() for r in rollouts])
    known: list[tuple[str, int, Question, Rollout]] = []
    for file in files:
        refused = pool.refused.setdefault(file.node, Counter())
        if file.refused:
            refused[file.refused] += 1
        for number, rollout in enumerate(file.rollouts):
            try:
                known.append((file.node, number, tasks.verify(rollout.question), rollout))
            except UnknownQuestionError as error:
                refused[str(error)] += 1
    scores = _score([(q, r.completions) for _, _, q, r in known], verifier, external=True)
    for (node, number, question, rollout), found in zip(known, scores, strict=True):
        if any(score.outcome == "refused" for score in found):
            pool.refused[node][RolloutRefusal.EVALUATES_TEXT] += 1
            continue
        completions = tuple(
            msgspec.structs.replace(c, reward=s.reward)
            for c, s in zip(rollout.completions, found, strict=True)
        )
        pool.rollouts.append(ScoredRollout(node, number, question, completions))
    return pool


def _score(
    asked: Sequence[tuple[Question, Sequence[SampledCompletion | Completion]]],
    verifier: Verifier,
    *,
    external: bool = False,
) -> list[list[Score]]:
    """The scores of each question's completions, all in one request."""
    items = [ScoreItem(question.ref, c.text, external) for question, group in asked for c in group]
    scores = iter(verifier.score(items))
    return [list(islice(scores, len(group))) for _, group in asked]
