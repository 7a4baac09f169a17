"""All rollouts of an experiment as one parquet file, a row for each.

`datasets.load_dataset("parquet", data_files=…)` loads it. Round files hold references to questions only; their texts
are made again here, from the experiment's configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from swarm_ray.errors import MalformedFile
from swarm_ray.exchange.validation import MAX_COUNT
from swarm_ray.experiments.read.experiment import OpenExperiment
from swarm_ray.experiments.read.rollouts import Questions, StoredFile, read_content, stored_files
from swarm_ray.formatting import clean
from swarm_ray.records.rollouts import Rollout, RoundFile

ROWS_AT_ONCE = 2000


def write_rollouts(
    experiment: OpenExperiment, path: Path, modules: tuple[str, ...], problems: list[str] | None
) -> None:
    """Write the rollouts of every round file that is still kept, whatever became of it.

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

    schema = _schema()
    rows = _rows(experiment, modules, problems)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while some := list(islice(rows, ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(some, schema=schema))


def _schema() -> Any:
    """Columns of the rollouts.

    `fate` is what became of the file, missing where a gap in the state log hides that; `reference` an answer that the
    verifier takes as right; rewards are those that the node's own verifier gave, `reward` their mean. `question` and
    `reference` are missing where the question cannot be made again.
    """
    import pyarrow as pa

    completion = pa.struct([("text", pa.string()), ("reward", pa.float64()), ("finished", pa.bool_())])
    texts, counts = pa.string(), pa.int64()
    return pa.schema(
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
            _leave_out(str(error), problems)
            continue
        for rollout in content.rollouts:
            if max(abs(rollout.question.seed), abs(rollout.question.index)) > MAX_COUNT:
                _leave_out(f"{file.key}: a rollout of no question is left out", problems)
            else:
                yield _row(experiment, file, content, rollout, questions)


def _leave_out(line: str, problems: list[str] | None) -> None:
    """Say what is not in the data.

    Raises:
        MalformedFile: no list was passed.
    """
    if problems is None:
        raise MalformedFile(f"{clean(line)}; pass a list of problems to have the rest")
    problems.append(clean(line))


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
