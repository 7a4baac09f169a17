"""Every rollout that an experiment's folder still keeps, with what the state log says of the file it came in."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from drive_store import StoreError, find_bucket_files
from drive_store.names import RoundFileName, parse_peer_folder
from drive_store.paths import bucket_start
from swarm_ray.config.schema import TasksConfig
from swarm_ray.errors import MalformedFile, SwarmError
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.exchange.validation import read_peer_file, read_whole_file
from swarm_ray.experiments.read.experiment import OpenExperiment, StateLog
from swarm_ray.records.rollouts import QuestionRef, Rollout, RoundFile
from swarm_ray.records.state import Answers, FileRef, Moment, StageClosed
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.task import Question

UNANSWERED, UNKNOWN = "unanswered", ""


@dataclass(frozen=True)
class StoredFile:
    """A round file as a listing and the state log have it."""

    key: str
    name: RoundFileName
    node: str
    incarnation: str
    fate: str
    """accepted, late, superseded, rejected, or unanswered: what the state log says became of it. Empty where it says
    nothing, and what came after a gap in it may."""
    sha256: str | None
    """Of its payload, where the state log names it."""


_Fate = tuple[str, str | None]
"""What became of a file, and the hash of its payload where the state log names it."""


def stored_files(experiment: OpenExperiment, problems: list[str] | None) -> list[StoredFile]:
    """The round files that are there, by node, incarnation and round; nothing of them is read.

    A file that was published again, under another name with the same hash, is there once, by the name that the state
    log has if it has one.

    Args:
        experiment: whose.
        problems: takes a line for each state record that is missing or cannot be used.

    Raises:
        SwarmStateError: there is such a record and no list was passed for it, or this version cannot read one.
        StoreError: the folder cannot be read.
    """
    log = experiment.checked_log(problems)
    fates, other = _fates(log), (UNANSWERED if log.whole else UNKNOWN, None)
    by_hash = {(key.rpartition("/")[0], f[1][:12]): f for key, f in fates.items() if f[1]}
    found: dict[tuple[str, str], StoredFile] = {}
    for node, incarnation, key, name in _listed(experiment):
        same = (key.rpartition("/")[0], name.hash)
        if same in found and key not in fates:
            continue
        fate, sha256 = fates.get(key) or by_hash.get(same) or other
        found[same] = StoredFile(key, name, node, incarnation, fate, sha256)
    return list(found.values())


def read_content(experiment: OpenExperiment, file: StoredFile) -> RoundFile:
    """What a round file holds, verified by its envelope, and by its hash where the state log has that.

    Raises:
        MalformedFile: it is gone, damaged, another file than the state log names, or no round file.
        StoreError: the folder cannot be read.
    """
    ref = FileRef(file.node, file.incarnation, file.key, file.sha256 or "", 0)
    found = read_whole_file(experiment.view, ref, Moment(file.name.round, file.name.stage))
    if isinstance(found, RoundFile):
        return found
    raise MalformedFile(f"{file.key} is left out: {found if isinstance(found, str) else found.reason}")


class Questions:
    """The questions that rollouts name, made again from an experiment's configuration.

    Args:
        config: its tasks.
        modules: Python modules with tasks of one's own that may be imported; the configuration may be a stranger's.
    """

    def __init__(self, config: TasksConfig, modules: tuple[str, ...] = ()) -> None:
        self._made: TaskSet | str
        try:
            self._made = TaskSet(config, allowed_modules=modules)
        except SwarmError as error:
            self._made = str(error)

    @property
    def problem(self) -> str:
        """Why no question can be made here; empty where questions can."""
        return self._made if isinstance(self._made, str) else ""

    def make(self, ref: QuestionRef) -> Question | str:
        """The question of a reference, or why it cannot be had: it is not the experiment's, or cannot be made here."""
        if isinstance(self._made, str):
            return self._made
        try:
            return self._made.verify(ref)
        except SwarmError as error:
            return str(error)


def _fates(log: StateLog) -> dict[str, _Fate]:
    """Key to what the state log says of the file."""
    records = [decode_state(entry) for entry in log.entries]
    sources = [source for record in records for source in (record.closed, record.answers) if source]
    return {key: fate for source in sources for key, fate in _answered(source).items()}


def _answered(source: StageClosed | Answers) -> dict[str, _Fate]:
    fates: dict[str, _Fate] = {refusal.key: ("rejected", None) for refusal in source.rejected}
    fates |= {ref.key: ("superseded", ref.sha256) for ref in source.superseded}
    fates |= {ref.key: ("late", ref.sha256) for ref in source.late}
    accepted = source.accepted if isinstance(source, StageClosed) else ()
    return fates | {ref.key: ("accepted", ref.sha256) for ref in accepted}


def _listed(experiment: OpenExperiment) -> Iterator[tuple[str, str, str, RoundFileName]]:
    """Node, incarnation, key and name of every round file, from one listing for each folder."""
    store, paths = experiment.store, experiment.paths
    peers = [parse_peer_folder(text) for text in store.names(paths.rollouts_parent)]
    for peer in (peer for peer in peers if peer is not None):
        buckets = store.names(paths.rollouts_folder(peer.node, peer.incarnation))
        for number in (start for text in buckets if (start := bucket_start(text)) is not None):
            for key, name in find_bucket_files(experiment.view, peer.node, peer.incarnation, number):
                yield peer.node, peer.incarnation, key, name


@dataclass(frozen=True)
class Sample:
    """One rollout that people may read."""

    node: str
    round: int
    rollout: Rollout
    question: Question | str
    """Made again from its reference, or why it cannot be."""


def samples_of(
    experiment: OpenExperiment, stages: Sequence[StageClosed], questions: Questions, nodes: int
) -> list[Sample]:
    """For the first, the middle and the last stage whose files are kept: the first rollout of its first nodes.

    Nothing is picked by how good it is.

    Args:
        experiment: whose.
        stages: that closed, in order.
        questions: makes those that its rollouts name.
        nodes: at most so many are shown of each stage.
    """
    samples: list[Sample] = []
    for stage in _kept_stages(experiment, [stage for stage in stages if stage.accepted]):
        refs = sorted(stage.accepted, key=lambda ref: ref.node)
        found = (
            (ref.node, rollout) for ref in refs if (rollout := _first_rollout(experiment, ref)) is not None
        )
        samples += [
            Sample(node, stage.round, rollout, questions.make(rollout.question))
            for node, rollout in islice(found, nodes)
        ]
    return samples


def _kept_stages(experiment: OpenExperiment, stages: Sequence[StageClosed]) -> list[StageClosed]:
    """The first, the middle and the last stage of which a file is still there.

    Files are removed in the order of their rounds, so that the first one left is found by halving.
    """

    def is_kept(stage: StageClosed) -> bool:
        for ref in stage.accepted:
            with suppress(StoreError, ValueError):
                if experiment.store.size(ref.key) is not None:
                    return True
        return False

    last = len(stages) - 1
    if not stages or not is_kept(stages[last]):
        return []
    first = bisect_left(stages, True, hi=last, key=is_kept)
    return [stages[place] for place in dict.fromkeys((first, (first + last) // 2, last))]


def _first_rollout(experiment: OpenExperiment, ref: FileRef) -> Rollout | None:
    try:
        file = read_peer_file(experiment.view, ref)
    except StoreError:
        return None
    return file.rollouts[0] if isinstance(file, RoundFile) and file.rollouts else None
