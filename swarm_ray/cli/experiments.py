"""Commands on experiments as wholes: create, metrics, export, archive, clean, rename."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from swarm_ray.cli.metric_tables import byte_count, metrics_table
from swarm_ray.cli.options import ALGORITHM, add_configuration, add_json, add_modules, add_overwrite, add_root
from swarm_ray.cli.output import DONE, complain_of, layout, write
from swarm_ray.cli.overrides import overrides_of, see_modules_here
from swarm_ray.cli.parser import Parser
from swarm_ray.config.load import config_hash
from swarm_ray.errors import UserError
from swarm_ray.experiments.manage.archive import archive_experiment
from swarm_ray.experiments.manage.clean import Cleanup, cleanup_experiment
from swarm_ray.experiments.manage.create import init_experiment
from swarm_ray.experiments.manage.export import export_experiment
from swarm_ray.experiments.manage.rename import rename_experiment
from swarm_ray.experiments.manage.write import asked_path, require_new, written_whole
from swarm_ray.experiments.read.experiment import open_experiment

if TYPE_CHECKING:
    import pandas as pd

BY = ("round", "node", "specialty", "step")


def define_create(command: Parser) -> None:
    """Options of `create`."""
    add_root(command)
    command.add_argument("experiment", metavar="EXPERIMENT", help="the name it will have")
    add_overwrite(command)
    add_configuration(command, "nodes", "expect", *ALGORITHM)


def create(arguments: argparse.Namespace) -> int:
    """Make an experiment that is run later."""
    see_modules_here()
    config = init_experiment(
        arguments.root,
        arguments.experiment,
        arguments.preset,
        overrides_of(arguments),
        file=arguments.config,
        overwrite=arguments.overwrite,
    )
    write(
        f"{arguments.experiment} is made in {arguments.root}: preset {config.preset}, {config.rounds} rounds, "
        f"I/J {config.local}/{config.external}, G {config.completions}, seed {config.seed}, "
        f"configuration {config_hash(config)}\n"
    )
    return DONE


def define_metrics(command: Parser) -> None:
    """Options of `metrics`."""
    _one_experiment(command)
    command.add_argument(
        "--by", metavar="|".join(BY), choices=BY, default="round", help="a row for each (default: round)"
    )
    command.add_argument("--csv", metavar="FILE", help="write all rows as CSV; - for standard output")
    _add_overwrite(command)
    add_json(command)


def metrics(arguments: argparse.Namespace) -> int:
    """Show what an experiment's nodes logged."""
    if arguments.csv is not None and arguments.json:
        raise UserError("--csv and --json are two forms of the same rows; leave one of them out")
    open_experiment(arguments.root, arguments.experiment)  # a wrong name is told before pandas is loaded
    from swarm_ray.experiments.read import frames

    problems: list[str] = []
    frame = _frame_by(arguments, problems)
    if arguments.json:
        write(f"{frame.reset_index(drop=frame.index.name is None).to_json(orient='records', indent=2)}\n")
    elif arguments.csv == "-":
        write(str(frames.to_csv(frame)))
    elif arguments.csv is not None:
        _write_csv(frame, asked_path(arguments.csv), overwrite=arguments.overwrite)
    else:
        width, styled = layout()
        write(metrics_table(frame, arguments.by, width=width, styled=styled))
    complain_of(problems)
    return DONE


def define_export(command: Parser) -> None:
    """Options of `export`."""
    _one_experiment(command)
    _add_output(
        command, "a folder for all, or a file that ends in .json (the summary) or .parquet (the rollouts)"
    )
    _add_overwrite(command)
    add_modules(command)


def export(arguments: argparse.Namespace) -> int:
    """Write what an experiment came to."""
    if arguments.module:
        see_modules_here()
    problems: list[str] = []
    files = export_experiment(
        arguments.root,
        arguments.experiment,
        arguments.output,
        overwrite=arguments.overwrite,
        modules=arguments.module,
        problems=problems,
    )
    for file in files:
        write(f"{file} ({byte_count(file.stat().st_size)})\n")
    complain_of(problems)
    return DONE


def define_archive(command: Parser) -> None:
    """Options of `archive`."""
    _one_experiment(command)
    _add_output(command, "a file that ends in .zip or .tar.zst")
    _add_overwrite(command)


def archive(arguments: argparse.Namespace) -> int:
    """Write an experiment into one file."""
    problems: list[str] = []
    made = archive_experiment(
        arguments.root,
        arguments.experiment,
        arguments.output,
        overwrite=arguments.overwrite,
        problems=problems,
    )
    write(
        f"{made.path}: {made.files} files, {byte_count(made.bytes_in)} in {byte_count(made.bytes_out)}, read again; "
        "unpacked in the folder experiments of a root it is that experiment again\n"
    )
    complain_of(problems)
    return DONE


def define_clean(command: Parser) -> None:
    """Options of `clean`."""
    _one_experiment(command)
    command.add_argument("--yes", action="store_true", help="do it; without, it is only said what would go")
    command.add_argument(
        "--all", action="store_true", help="the whole experiment, not only what it can do without"
    )


def clean(arguments: argparse.Namespace) -> int:
    """Remove what an experiment does not need, or all of it."""
    cleanup = cleanup_experiment(
        arguments.root, arguments.experiment, dry_run=not arguments.yes, whole=arguments.all
    )
    write(_cleanup_text(cleanup))
    return DONE


def define_rename(command: Parser) -> None:
    """Options of `rename`."""
    add_root(command)
    command.add_argument("experiment", metavar="OLD", help="the experiment's name")
    command.add_argument("name", metavar="NEW", help="the name it is to have")
    command.set_defaults(words="")


def rename(arguments: argparse.Namespace) -> int:
    """Give an experiment another name."""
    done = rename_experiment(arguments.root, arguments.experiment, arguments.name)
    write(
        f"{arguments.experiment} is {done.experiment} now: {done.files} files ({byte_count(done.bytes)}) written anew, "
        f"{done.sealed} of them sealed again; checkpoints that only a machine's own disk has stay under the old name\n"
    )
    return DONE


def _cleanup_text(cleanup: Cleanup) -> str:
    """What went or would go, a line for each kind."""
    lines = [f"  {r.files} {r.what}: {byte_count(r.bytes)}" for r in cleanup.removals]
    remarks = [f"  {remark}" for remark in cleanup.remarks]
    if not lines:
        return "\n".join([f"nothing of {cleanup.experiment} can go", *remarks, ""])
    verb, after = ("removed", "") if cleanup.done else ("would be removed", "; --yes does it")
    head = f"of {cleanup.experiment} {byte_count(cleanup.bytes)} {verb}{after}"
    return "\n".join([head, *lines, *remarks, ""])


def _one_experiment(command: Parser) -> None:
    add_root(command)
    command.add_argument("experiment", metavar="EXPERIMENT", help="which")
    command.set_defaults(words="")


def _add_output(command: Parser, what: str) -> None:
    command.add_argument("-o", "--output", metavar="PATH", required=True, help=what)


def _add_overwrite(command: Parser) -> None:
    command.add_argument("--overwrite", action="store_true", help="write over files that are there")


def _frame_by(arguments: argparse.Namespace, problems: list[str]) -> pd.DataFrame:
    from swarm_ray.experiments.read import frames

    root, name = arguments.root, arguments.experiment
    if arguments.by == "node":
        return frames.nodes_frame(root, name)
    made = {"round": frames.rounds_frame, "specialty": frames.specialties_frame, "step": frames.metrics_frame}
    return made[arguments.by](root, name, problems)


def _write_csv(frame: pd.DataFrame, path: Path, *, overwrite: bool) -> None:
    from swarm_ray.experiments.read import frames

    if not overwrite:
        require_new(path)
    with written_whole(path) as part:
        frames.to_csv(frame, part)
    write(f"{path} ({len(frame)} rows)\n")
