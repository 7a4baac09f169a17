"""Commands that export or change experiments: export, export-model, archive, clean, rename."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from swarm_ray.cli.arguments import (
    EXPERIMENT,
    MODULES,
    ROOT,
    WRITE_OVER,
    Command,
    Option,
    import_from_here,
    option,
)
from swarm_ray.cli.output import DONE, complain_of, write
from swarm_ray.errors import UserError
from swarm_ray.experiments.manage.archive import archive_experiment
from swarm_ray.experiments.manage.clean import Cleanup, cleanup_experiment
from swarm_ray.experiments.manage.export import export_experiment
from swarm_ray.experiments.manage.rename import rename_experiment
from swarm_ray.formatting import byte_count, clean

if TYPE_CHECKING:
    from swarm_ray.models.checkpoints import Which


def export(arguments: argparse.Namespace) -> int:
    """Write the results of an experiment."""
    if arguments.module:
        import_from_here()
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
        f"{made.path}: {made.files} files, {byte_count(made.bytes_in)} in {byte_count(made.bytes_out)}, verified; "
        "unpack it in the folder experiments of a root to restore it\n"
    )
    complain_of(problems)
    return DONE


def clean_(arguments: argparse.Namespace) -> int:
    """Remove what an experiment does not need, or all of it."""
    cleanup = cleanup_experiment(
        arguments.root, arguments.experiment, dry_run=not arguments.yes, whole=arguments.all
    )
    write(_cleanup_text(cleanup))
    return DONE


def rename(arguments: argparse.Namespace) -> int:
    """Give an experiment another name."""
    done = rename_experiment(arguments.root, arguments.experiment, arguments.name)
    write(
        f"{arguments.experiment} is {done.experiment} now: {done.files} files ({byte_count(done.bytes)}) rewritten, "
        f"{done.sealed} of them sealed again; checkpoints that are only on a machine's own disk keep the old name\n"
    )
    return DONE


def export_model(arguments: argparse.Namespace) -> int:
    """Write a node's model as a folder that transformers loads."""
    step = _step(arguments.step)
    if arguments.module:
        import_from_here()
    from swarm_ray.models.export import ModelSource, export

    problems: list[str] = []
    done = export(
        ModelSource(arguments.root, arguments.experiment, arguments.node, step),
        arguments.output,
        overwrite=arguments.overwrite,
        modules=arguments.module,
        problems=problems,
    )
    complain_of(problems)
    reward = "" if done.reward is None else f", mean own reward {done.reward:.3f} since the checkpoint before"
    write(clean(f"{done.node} at step {done.step}, round {done.round}{reward}: {done.path}") + "\n")
    return DONE


def _cleanup_text(cleanup: Cleanup) -> str:
    """What was or would be removed, a line for each kind."""
    lines = [f"  {r.files} {r.what}: {byte_count(r.bytes)}" for r in cleanup.removals]
    remarks = [f"  {remark}" for remark in cleanup.remarks]
    if not lines:
        return "\n".join([f"nothing of {cleanup.experiment} can be removed", *remarks, ""])
    verb, after = ("removed", "") if cleanup.done else ("would be removed", "; --yes does it")
    head = f"of {cleanup.experiment} {byte_count(cleanup.bytes)} {verb}{after}"
    return "\n".join([head, *lines, *remarks, ""])


def _step(text: str) -> Which:
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return int(text)
    if text not in {"last", "best"}:
        raise UserError(f"--step {text!r} is not possible; it must be a step (a whole number), last or best")
    return "last" if text == "last" else "best"


def _output(what: str, metavar: str = "PATH") -> Option:
    return option("-o", "--output", metavar=metavar, required=True, help=what)


COMMANDS = (
    Command(
        "export",
        "write a summary, tables, and all rollouts as a data set",
        export,
        (
            ROOT,
            EXPERIMENT,
            _output(
                "a folder for all, or a file that ends in .json (the summary) or .parquet (the rollouts)"
            ),
            WRITE_OVER,
            MODULES,
        ),
    ),
    Command(
        "export-model",
        "write a node's model as a folder that transformers loads",
        export_model,
        (
            EXPERIMENT,
            ROOT,
            option("--node", metavar="ID", required=True, help="whose model"),
            option(
                "--step",
                metavar="N|last|best",
                default="last",
                help="which of its checkpoints in the folder; best: highest mean own reward (default: last)",
            ),
            _output("the folder to write", "FOLDER"),
            option("--overwrite", action="store_true", help="replace a model that is there"),
            MODULES,
        ),
    ),
    Command(
        "archive",
        "write an experiment into one verified file",
        archive,
        (ROOT, EXPERIMENT, _output("a file that ends in .zip or .tar.zst"), WRITE_OVER),
    ),
    Command(
        "clean",
        "remove what an experiment does not need, or all of it; without --yes only list it",
        clean_,
        (
            ROOT,
            EXPERIMENT,
            option("--yes", action="store_true", help="do it; without it, only list what would be removed"),
            option("--all", action="store_true", help="the whole experiment, not only what it does not need"),
        ),
    ),
    Command(
        "rename",
        "rename an experiment that is not running",
        rename,
        (
            ROOT,
            option("experiment", metavar="OLD", help="the experiment's name"),
            option("name", metavar="NEW", help="the name it is to have"),
        ),
    ),
)
