"""Rollouts that people can read, from the start, the middle and the end of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drive_store import StoreError
from swarm_ray.exchange.validation import read_peer_file
from swarm_ray.experiments.read.experiment import OpenExperiment
from swarm_ray.experiments.read.rollouts import Questions
from swarm_ray.observe.report.evidence import Evidence
from swarm_ray.records.rollouts import Completion, Rollout, RoundFile
from swarm_ray.records.state import FileRef, StageClosed

NODES, COMPLETIONS = 3, 8
"""Shown per round, and per rollout."""


@dataclass(frozen=True)
class Sample:
    """One rollout."""

    node: str
    round: int
    rollout: Rollout
    question: str | None
    """Its text, made again from its reference; None where that was not possible."""
    reference: str
    """An answer that its verifier takes, where there is one."""
    unknown: str
    """Why the question is not shown."""

    @property
    def shown(self) -> tuple[Completion, ...]:
        """The first of its completions."""
        return self.rollout.completions[:COMPLETIONS]

    @property
    def left_out(self) -> int:
        """How many more there are."""
        return len(self.rollout.completions) - len(self.shown)


def samples_of(evidence: Evidence, questions: Questions) -> list[Sample]:
    """For the first, the middle and the last round whose files are kept: the first rollout of its first nodes.

    Nothing is picked by how good it is.
    """
    samples: list[Sample] = []
    for stage in kept_stages(evidence):
        taken = 0
        for file in sorted(stage.accepted, key=lambda ref: ref.node):
            rollout = _first_rollout(evidence.experiment, file) if taken < NODES else None
            if rollout is not None:
                taken += 1
                samples.append(_sample(file.node, stage.round, rollout, questions))
    return samples


def kept_stages(evidence: Evidence) -> list[StageClosed]:
    """The first, the middle and the last stage of which a file is still there.

    Files are removed in the order of their rounds, so that the first one left is found by halving.
    """
    stages = [stage for stage in evidence.stages if stage.accepted]
    if not stages or not _is_kept(evidence.experiment, stages[-1]):
        return []
    low, high = 0, len(stages) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _is_kept(evidence.experiment, stages[middle]) else (middle + 1, high)
    places = dict.fromkeys((low, (low + len(stages) - 1) // 2, len(stages) - 1))
    return [stages[place] for place in places]


def questions_for(evidences: Sequence[Evidence]) -> dict[str, Questions]:
    """Experiment to what makes its questions; experiments of the same tasks share it."""
    made: dict[str, Questions] = {}
    for one in evidences:
        key = one.config.tasks.model_dump_json()
        if key not in made:
            made[key] = Questions(one.config.tasks)
    return {one.name: made[one.config.tasks.model_dump_json()] for one in evidences}


def _sample(node: str, number: int, rollout: Rollout, questions: Questions) -> Sample:
    made = questions.make(rollout.question)
    if isinstance(made, str):
        return Sample(node, number, rollout, None, "", made)
    return Sample(node, number, rollout, made.text, made.reference, "")


def _is_kept(experiment: OpenExperiment, stage: StageClosed) -> bool:
    for ref in stage.accepted:
        try:
            if experiment.store.size(ref.key) is not None:
                return True
        except (StoreError, ValueError):
            continue
    return False


def _first_rollout(experiment: OpenExperiment, ref: FileRef) -> Rollout | None:
    try:
        file = read_peer_file(experiment.view, ref)
    except StoreError:
        return None
    return file.rollouts[0] if isinstance(file, RoundFile) and file.rollouts else None
