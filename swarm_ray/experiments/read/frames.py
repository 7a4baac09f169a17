"""Experiments as pandas DataFrames: steps, rounds, nodes, specialties, and experiments side by side.

A module of its own, since pandas takes longer to import than all the rest: `swarm_ray.experiments` does without it.
Rewards are mean raw rewards of completions, between 0 and 1; `seconds` and columns that end in `_s` are in seconds;
other numbers are counts.
A count that may be missing is of pandas' `Int64`, a mean that may be missing is NaN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from swarm_ray.errors import MalformedFile
from swarm_ray.experiments.read.compare import ClosedStage, history_of
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.experiments.read.listing import compare_experiments, list_experiments
from swarm_ray.experiments.read.metrics import metrics_of
from swarm_ray.experiments.read.status import read_now
from swarm_ray.formatting import clean
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.sapo.phases import PHASES

STEPS = {
    "round": "int64",
    "node": "str",
    "step": "int64",
    "incarnation": "str",
    "reward": "float64",
    "reward_mixed": "float64",
    "local": "int64",
    "external": "int64",
    "external_offered": "int64",
    "external_rejected": "int64",
    "zero_advantage_local": "int64",
    "zero_advantage_external": "int64",
    "generated_tokens": "int64",
    "trained": "bool",
    "loss": "float64",
    "clip_share": "float64",
    "entropy_nats": "float64",
    "grad_norm": "float64",
    "unfaithful": "float64",
    "scoring_failures": "int64",
    "alone": "bool",
    "replayed": "bool",
    "seconds": "float64",
    **{f"{phase}_s": "float64" for phase in PHASES},
}
"""Columns of `metrics_frame`."""
ROUNDS = {
    "round": "int64",
    "stage": "int64",
    "reward": "float64",
    "reward_min": "float64",
    "reward_max": "float64",
    "reward_sum": "float64",
    "cumulative_reward": "float64",
    "accepted": "int64",
    "missing": "int64",
    "late": "int64",
    "superseded": "int64",
    "rejected": "int64",
    "informative": "int64",
    "external": "Int64",
    "generated_tokens": "Int64",
    "seconds": "float64",
    "elapsed_s": "float64",
}
"""Columns of `rounds_frame`, the index first."""
NODES = {
    "node": "str",
    "round": "int64",
    "step": "int64",
    "reward": "float64",
    "cumulative_reward": "float64",
    "external_offered": "int64",
    "external_used": "int64",
    "external_rejected": "int64",
    "generated_tokens": "int64",
    "pass_at_1_start": "float64",
    "pass_at_1_end": "float64",
    "last_seen_s": "float64",
    "unanswered": "int64",
    "alone": "bool",
    "recovered": "str",
    "problem": "str",
}
"""Columns of `nodes_frame`, the index first."""
SPECIALTIES = {
    "round": "int64",
    "node": "str",
    "step": "int64",
    "specialty": "str",
    "reward": "float64",
}
"""Columns of `specialties_frame`."""
EXPERIMENTS = {
    "experiment": "str",
    "state": "str",
    "round": "int64",
    "rounds": "Int64",
    "nodes": "int64",
    "local": "Int64",
    "external": "Int64",
    "completions": "Int64",
    "seed": "Int64",
    "created_at": "datetime64[ns, UTC]",
    "learned_nothing": "bool",
    "problem": "str",
}
"""Columns of `experiments_frame`, the index first."""
COMPARISONS = {
    "experiment": "str",
    "nodes": "int64",
    "rounds": "int64",
    "local": "int64",
    "external": "int64",
    "completions": "int64",
    "cumulative_reward": "float64",
    "reward_first": "float64",
    "reward_last": "float64",
    "pass_at_1_start": "float64",
    "pass_at_1_end": "float64",
    "generated_tokens": "int64",
    "seconds": "float64",
    "external_used": "int64",
    "state": "str",
    "learned_nothing": "bool",
}
"""Columns of `comparison_frame`, the index first."""


_COMPUTED = ("=", "+", "-", "@")
"""Letters with which a formula of a spreadsheet begins, after blanks that some of them skip."""


def metrics_frame(root: str, experiment: str, problems: list[str] | None = None) -> pd.DataFrame:
    """What the nodes logged: a row for each step that a node took, by round, node and step.

    The index only counts rows; (node, step) is unique. `external` is what the step learned from, `external_offered`
    and `external_rejected` what the files of others held, `seconds` the sum over the phases, whose parts have columns
    of their own.

    Args:
        root: the folder that holds the experiment.
        experiment: its name.
        problems: takes a line for each segment that is torn or missing, and each row that cannot be read.

    Raises:
        ExperimentNotFoundError: the experiment does not exist.
        MalformedFile: a segment is torn or missing, and no list was passed for that.
        StoreError: the folder cannot be read.
    """
    rows = metrics_of(open_experiment(root, experiment), problems)
    return _frame(map(_step_row, rows), STEPS)


def rounds_frame(root: str, experiment: str, problems: list[str] | None = None) -> pd.DataFrame:
    """What the state log and the nodes say of each round: a row for each stage that closed, one per round in SAPO.

    The index is `round`. `reward` is the mean over the nodes whose files were accepted, with the least and the
    largest; `reward_sum` their sum, and `cumulative_reward` its running sum, which experiments are compared by.
    `accepted` to `rejected` count files, `informative` own rollouts whose rewards differ, `external` external rollouts
    that were trained on, `elapsed_s` the seconds since the first stage opened, on the coordinator's clock. `external`
    and `generated_tokens` are what nodes logged, and missing for rounds of which no log is written yet.

    Args:
        root: the folder that holds the experiment.
        experiment: its name.
        problems: as for `metrics_frame`; and a line for each state record that is missing or cannot be used, after
            which nothing is counted.

    Raises:
        ExperimentNotFoundError: the experiment does not exist.
        MalformedFile: a segment is torn or missing, and no list was passed for that.
        SwarmStateError: a state record is missing, and no list was passed for that; or this version cannot read it.
        StoreError: the folder cannot be read.
    """
    opened = open_experiment(root, experiment)
    logged = _logged_by_round(metrics_of(opened, problems))
    frame = _frame((_round_row(stage, logged) for stage in history_of(opened, problems)), ROUNDS)
    frame["cumulative_reward"] = frame["reward_sum"].cumsum()
    frame["elapsed_s"] = frame["seconds"].cumsum()
    return frame.set_index("round")


def nodes_frame(root: str, experiment: str) -> pd.DataFrame:
    """Where each node stands, and its sums since its first step.

    The index is `node`. `round` is the last one that it took part in (-1 before its first), `reward` its mean own
    reward in its last round that closed, `last_seen_s` the age of its last heartbeat by wall clocks, `unanswered`
    the number of its files that no state record has answered. `recovered` and `problem` are empty where there is
    nothing to say.

    Raises:
        ExperimentNotFoundError: the experiment does not exist.
        SwarmStateError: the newest state record is not one that this version reads.
        StoreError: the folder cannot be read.
    """
    nodes = read_now(open_experiment(root, experiment)).status().nodes
    rows = [
        msgspec.structs.asdict(node)
        | {"node": node.id, "unanswered": len(node.unanswered), "problem": node.problem or ""}
        for node in nodes
    ]
    return _frame(rows, NODES).set_index("node")


def specialties_frame(root: str, experiment: str, problems: list[str] | None = None) -> pd.DataFrame:
    """The mean reward of own completions per round, node and specialty, a row for each that had a question.

    The index only counts rows; `frame.pivot_table("reward", "round", "specialty")` gives a table of rounds.

    Args:
        root: the folder that holds the experiment.
        experiment: its name.
        problems: as for `metrics_frame`.

    Raises:
        ExperimentNotFoundError: the experiment does not exist.
        MalformedFile: a segment is torn or missing, and no list was passed for that.
        StoreError: the folder cannot be read.
    """
    rows = metrics_of(open_experiment(root, experiment), problems)
    return _frame(
        (
            {"round": r.round, "node": r.node, "step": r.step, "specialty": specialty, "reward": reward}
            for r in rows
            for specialty, reward in sorted(r.reward_by_specialty.items())
        ),
        SPECIALTIES,
    )


def experiments_frame(root: str) -> pd.DataFrame:
    """The experiments in a folder, oldest first.

    The index is `experiment`, the name. `local`, `external` and `completions` are I, J and G; they are missing where
    the configuration cannot be read, and `problem` says why.

    Raises:
        UserError: the folder does not exist.
        StoreError: the folder cannot be read.
    """
    rows = [
        msgspec.structs.asdict(s)
        | {
            "experiment": s.name,
            "problem": s.problem or "",
            "created_at": pd.to_datetime(s.created_at, utc=True, errors="coerce"),
        }
        for s in list_experiments(root)
    ]
    return _frame(rows, EXPERIMENTS).set_index("experiment")


def comparison_frame(root: str, names: Sequence[str], problems: list[str] | None = None) -> pd.DataFrame:
    """The figures of experiments, in the order of `names`; the columns are the fields of `Comparison`.

    The index is `experiment`.

    Args:
        root: the folder that holds the experiments.
        names: which.
        problems: takes a line for each state record that is missing or cannot be used, after which nothing is counted.

    Raises:
        ExperimentNotFoundError: one of them is not there.
        ConfigError: the stored configuration of one is missing or was altered.
        SwarmStateError: a state record is missing, and no list was passed for that; or this version cannot read it.
        StoreError: the folder cannot be read.
    """
    rows = map(msgspec.structs.asdict, compare_experiments(root, names, problems))
    return _frame(rows, COMPARISONS).set_index("experiment")


def frame_by(root: str, experiment: str, by: str, problems: list[str] | None = None) -> pd.DataFrame:
    """The frame with a row for each round, node, specialty or step.

    Args:
        root: the folder that holds the experiment.
        experiment: its name.
        by: round, node, specialty or step.
        problems: as for the frame; nothing is told of nodes.

    Raises:
        SwarmError: as for the frame.
        StoreError: the folder cannot be read.
    """
    if by == "node":
        return nodes_frame(root, experiment)
    made = {"round": rounds_frame, "specialty": specialties_frame, "step": metrics_frame}
    return made[by](root, experiment, problems)


def get_experiment_metrics(root: str, experiment: str, *, per_round: bool = False) -> pd.DataFrame:
    """What an experiment logged: per step (`metrics_frame`), or per round (`rounds_frame`).

    Raises:
        ExperimentNotFoundError: the experiment does not exist.
        MalformedFile: a segment of a log is torn or missing.
        SwarmStateError: a state record is missing, or not one that this version reads.
        StoreError: the folder cannot be read.
    """
    return rounds_frame(root, experiment) if per_round else metrics_frame(root, experiment)


def to_csv(frame: pd.DataFrame, path: Path | None = None) -> str | None:
    """A frame as CSV, its named index as the first columns; text in it steers neither a terminal nor a spreadsheet.

    Args:
        frame: one of this module's.
        path: a file to write; None answers the text.
    """
    flat = frame.reset_index() if frame.index.name else frame
    texts = {name: flat[name].map(_inert) for name in flat.columns if flat[name].dtype.kind in "OTU"}
    text: str | None = flat.assign(**texts).to_csv(path, index=False, lineterminator="\n")
    return text


def _inert(text: object) -> str:
    """What others wrote, on one line, and with a quote before what a spreadsheet would compute."""
    cleaned = clean(str(text))
    return f"'{cleaned}" if cleaned.lstrip()[:1] in _COMPUTED else cleaned


def _step_row(row: StepMetrics) -> dict[str, Any]:
    counters = row.counters
    return msgspec.structs.asdict(row) | {
        "external_offered": counters.offered,
        "external_rejected": sum(counters.rejected.values()),
        "zero_advantage_local": counters.zero_advantage_local,
        "zero_advantage_external": counters.zero_advantage_external,
        "generated_tokens": counters.generated_tokens,
        "entropy_nats": row.entropy,
        "seconds": sum(row.seconds.values()),
        **{f"{phase}_s": row.seconds.get(phase, 0.0) for phase in PHASES},
    }


def _logged_by_round(rows: Iterable[StepMetrics]) -> dict[int, tuple[int, int]]:
    """Round to external rollouts and generated tokens of all nodes; steps that were taken alone do not count."""
    logged: dict[int, tuple[int, int]] = {}
    for row in rows:
        if not row.alone:
            external, tokens = logged.get(row.round, (0, 0))
            logged[row.round] = (external + row.external, tokens + row.counters.generated_tokens)
    return logged


def _round_row(stage: ClosedStage, logged: Mapping[int, tuple[int, int]]) -> dict[str, Any]:
    rewards = list(stage.rewards.values())
    external, tokens = logged.get(stage.round, (None, None))
    return {
        "round": stage.round,
        "stage": stage.stage,
        "reward": sum(rewards) / len(rewards) if rewards else None,
        "reward_min": min(rewards, default=None),
        "reward_max": max(rewards, default=None),
        "reward_sum": sum(rewards),
        "accepted": stage.accepted,
        "missing": len(stage.missing),
        "late": len(stage.late),
        "superseded": len(stage.superseded),
        "rejected": len(stage.rejected),
        "informative": sum(stage.informative.values()),
        "external": external,
        "generated_tokens": tokens,
        "seconds": stage.seconds,
    }


def _frame(rows: Iterable[Mapping[str, Any]], types: Mapping[str, str]) -> pd.DataFrame:
    """Rows as a frame with these columns, in their order and of their types, even without rows."""
    found = list(rows)
    try:
        columns = {
            name: pd.Series([row.get(name) for row in found], dtype=kind) for name, kind in types.items()
        }
    except OverflowError as error:
        raise MalformedFile(f"a node logged a number that no column takes: {error}") from error
    return pd.DataFrame(columns)
