"""Takes results out of an experiment: a summary, tables, and all its rollouts as a data set.

The data set is a parquet file with a row for each rollout; `datasets.load_dataset("parquet", data_files=...)` loads it.
Round files hold references to questions only; their texts are made again here, from the experiment's configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from swarm_ray.config.load import to_json
from swarm_ray.errors import MalformedFile, UserError
from swarm_ray.exchange.validation import MAX_COUNT
from swarm_ray.experiments.manage.files import (
    asked_path,
    require_outside,
    writing_errors,
    written_whole,
)
from swarm_ray.experiments.read.compare import comparison_of
from swarm_ray.experiments.read.experiment import OpenExperiment, open_experiment, report
from swarm_ray.experiments.read.rollouts import Questions, StoredFile, read_content, stored_files
from swarm_ray.experiments.read.status import read_now
from swarm_ray.records.rollouts import Rollout, RoundFile
from swarm_ray.tasks.questions import require_modules

SUMMARY, ROLLOUTS = "summary.json", "rollouts.parquet"
TABLES = {"metrics.csv": "step", "rounds.csv": "round", "nodes.csv": "node", "specialties.csv": "specialty"}
"""What a table has a row for."""


def export_experiment(
    root: str,
    experiment: str,
    path: Path | str,
    *,
    overwrite: bool = False,
    modules: Sequence[str] = (),
    problems: list[str] | None = None,
) -> list[Path]:
    """Write what an experiment came to.

    Args:
        root: the folder that holds the experiment.
        experiment: its name.
        path: a folder, which takes `summary.json`, a CSV file for each table of `frames`, and `rollouts.parquet`; or
            a file that ends in `.json` or `.parquet`, which takes the summary or the rollouts.
        overwrite: write over files that are there.
        modules: Python modules with tasks of one's own that may be imported to make the questions again; texts of
            questions that cannot be made are missing.
        problems: takes a line for what could not be read or made; after a state record that is missing or cannot be
            used, nothing is counted.

    Returns:
        The files that were written.

    Raises:
        ExperimentNotFoundError: the experiment does not exist.
        UserError: a file is there already, cannot be written, the path is not valid for an export, or a module is not
            one of the experiment's or cannot be imported.
        ConfigError: the stored configuration is missing or was altered.
        SwarmStateError: a state record is missing, and no list was passed for that; or this version cannot read it.
        MalformedFile: no list was passed, and a row of metrics or a round file cannot be read.
        StoreError: the folder cannot be read.
    """
    opened, target = open_experiment(root, experiment), asked_path(path)
    require_outside(root, target)
    if modules:
        require_modules(opened.config_in_force().tasks, modules)
    found: list[str] | None = None if problems is None else []
    if found is not None and opened.config_in_force().game and target.suffix != ".json":
        found.append("a game's payloads are not SAPO rollouts: rollouts.parquet leaves them out")
    writers = _writers(opened, target, tuple(modules), found)
    with ExitStack() as whole:  # all or nothing: half an export would have to be removed by hand
        parts = [whole.enter_context(written_whole(file, overwrite=overwrite)) for file in writers]
        for file, part, write in zip(writers, parts, writers.values(), strict=True):
            with writing_errors(file):
                write(part)
    if problems is not None and found is not None:
        problems += dict.fromkeys(found)  # the tables are made of the same files, and find the same
    return list(writers)


def export_experiment_summary(
    root: str,
    experiment: str,
    path: Path | str,
    *,
    overwrite: bool = False,
    problems: list[str] | None = None,
) -> Path:
    """Write identity, configuration, figures and nodes of an experiment as one JSON document.

    Args:
        root: the folder that holds the experiment.
        experiment: its name.
        path: the file.
        overwrite: write over one that is there.
        problems: takes a line for each state record that is missing or cannot be used, after which nothing is counted.

    Raises:
        ExperimentNotFoundError: the experiment does not exist.
        UserError: the file is there already, or cannot be written.
        ConfigError: the stored configuration is missing or was altered.
        SwarmStateError: a state record is missing, and no list was passed for that; or this version cannot read it.
        StoreError: the folder cannot be read.
    """
    opened, target = open_experiment(root, experiment), asked_path(path)
    require_outside(root, target)
    with written_whole(target, overwrite=overwrite) as part:
        _write_summary(opened, part, problems)
    return target


def _writers(
    experiment: OpenExperiment, target: Path, modules: tuple[str, ...], problems: list[str] | None
) -> dict[Path, Callable[[Path], object]]:
    """The files that an export to a path consists of, with what writes each.

    A name that ends as files do is not taken for a folder that is still to be made: `results.csv` is a mistake, and
    `v.2` is not.

    Raises:
        UserError: the path is not valid for an export.
    """
    with writing_errors(target):
        is_file, is_folder = target.is_file(), target.is_dir()
    if target.suffix == ".json":
        return {target: partial(_write_summary, experiment, problems=problems)}
    if target.suffix == ".parquet":
        return {target: partial(write_rollouts, experiment, modules=modules, problems=problems)}
    if is_file or (target.suffix[1:2].isalpha() and not is_folder):
        which = (
            "is a file: name a folder"
            if is_file
            else "looks like a file's name: make that folder, or name another"
        )
        raise UserError(
            f"{target} {which}, which takes everything; or a file that ends in .json (the summary) or .parquet (the "
            "rollouts)"
        )
    return {
        target / SUMMARY: partial(_write_summary, experiment, problems=problems),
        **{target / name: partial(_write_table, experiment, by, problems) for name, by in TABLES.items()},
        target / ROLLOUTS: partial(write_rollouts, experiment, modules=modules, problems=problems),
    }


def _write_summary(experiment: OpenExperiment, path: Path, problems: list[str] | None) -> None:
    """Where the experiment comes from, its configuration, its figures, and its nodes."""
    identity = experiment.identity
    summary = {
        "experiment": experiment.paths.experiment,
        "created_at": identity.created_at,
        "machine": identity.machine,
        "versions": identity.versions,
        "figures": comparison_of(experiment, problems),
        "status": read_now(experiment).status(),
        "config": to_json(experiment.config_in_force()),
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")


def _write_table(experiment: OpenExperiment, by: str, problems: list[str] | None, path: Path) -> None:
    from swarm_ray.experiments.read import frames

    frames.to_csv(frames.frame_by(experiment.address.root, experiment.paths.experiment, by, problems), path)


ROWS_AT_ONCE = 2000


def write_rollouts(
    experiment: OpenExperiment, path: Path, modules: tuple[str, ...], problems: list[str] | None
) -> None:
    """Write the rollouts of every round file that is still kept, whatever became of it.

    Of the columns, `fate` is what became of the file, missing where a gap in the state log hides that; `reference` an
    answer that the verifier takes as right; rewards are those that the node's own verifier gave, `reward` their mean.
    `question` and `reference` are missing where the question cannot be made again.

    Args:
        experiment: whose.
        path: the parquet file.
        modules: Python modules with tasks of one's own that may be imported to make the questions again.
        problems: takes a line for what could not be read or made.

    Raises:
        ConfigError: the stored configuration is missing or was altered.
        SwarmStateError: a state record is missing, and no list was passed for that; or this version cannot read it.
        MalformedFile: no list was passed, and a round file cannot be read.
        StoreError: the folder cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    completion = pa.struct([("text", pa.string()), ("reward", pa.float64()), ("finished", pa.bool_())])
    texts, counts = pa.string(), pa.int64()
    schema = pa.schema(
        [
            ("experiment", texts),
            ("round", counts),
            ("stage", counts),
            ("node", texts),
            ("incarnation", texts),
            ("step", counts),
            ("fate", texts),
            ("alone", pa.bool_()),
            ("specialty", texts),
            ("seed", counts),
            ("index", counts),
            ("text_hash", texts),
            ("question", texts),
            ("reference", texts),
            ("reward", pa.float64()),
            ("completions", pa.list_(completion)),
        ]
    )
    rows = _rows(experiment, modules, problems)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while some := list(islice(rows, ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(some, schema=schema))


def _rows(
    experiment: OpenExperiment, modules: tuple[str, ...], problems: list[str] | None
) -> Iterator[dict[str, Any]]:
    questions = Questions(experiment.config_in_force().tasks, modules)
    if questions.problem and problems is not None:
        problems.append(f"the texts of the questions are left out: {questions.problem}")
    for file in stored_files(experiment, problems):
        try:
            content = read_content(experiment, file)
        except MalformedFile as error:
            report([str(error)], problems, MalformedFile)
            continue
        for rollout in content.rollouts:
            if max(abs(rollout.question.seed), abs(rollout.question.index)) > MAX_COUNT:
                report([f"{file.key}: a rollout of no question is left out"], problems, MalformedFile)
            else:
                yield _row(experiment, file, content, rollout, questions)


def _row(
    experiment: OpenExperiment, file: StoredFile, content: RoundFile, rollout: Rollout, questions: Questions
) -> dict[str, Any]:
    ref, made = rollout.question, questions.make(rollout.question)
    question = None if isinstance(made, str) else made
    rewards = [completion.reward for completion in rollout.completions]
    return {
        "experiment": experiment.paths.experiment,
        "round": file.name.round,
        "stage": file.name.stage,
        "node": file.node,
        "incarnation": file.incarnation,
        "step": content.step,
        "fate": file.fate or None,
        "alone": content.alone,
        "specialty": ref.specialty,
        "seed": ref.seed,
        "index": ref.index,
        "text_hash": ref.text_hash,
        "question": question.text if question else None,
        "reference": question.reference if question else None,
        "reward": sum(rewards) / len(rewards),
        "completions": [msgspec.structs.asdict(completion) for completion in rollout.completions],
    }
