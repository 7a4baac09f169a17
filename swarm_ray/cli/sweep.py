"""The command `sweep`: runs a grid of settings under several seeds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from swarm_ray.cli.arguments import ROOT, Command, import_from_here, option
from swarm_ray.cli.output import DONE, FAILED, INTERRUPTED, complain, complain_of, layout, write
from swarm_ray.errors import UserError
from swarm_ray.experiments.manage.files import asked_path, require_outside
from swarm_ray.sweeps.plan import read_plan
from swarm_ray.sweeps.results import Outcome, run_statuses
from swarm_ray.sweeps.table import plan_text, result_text, size_text

if TYPE_CHECKING:
    from swarm_ray.sweeps.results import SweepResult


def sweep(arguments: argparse.Namespace) -> int:
    """Run the remaining runs of a sweep, and report on all of them."""
    from swarm_ray.sweeps.results import sweep_result

    import_from_here()
    plan, parallel = read_plan(Path(arguments.file)), _parallel(arguments.parallel)
    found = run_statuses(plan, arguments.root)
    page = _page(arguments.report, arguments.root, plan.name)
    width, styled = layout()
    if arguments.dry_run:
        write(plan_text(plan, found, width=width, styled=styled))
        return DONE
    complain(size_text(plan, found))
    outcome = Outcome()
    if not all(status.finished for status in found):  # a finished sweep needs neither torch nor Ray
        from swarm_ray.sweeps.runner import SweepRunner

        outcome = SweepRunner(arguments.root, found, parallel=parallel).run()
    found = run_statuses(plan, arguments.root)
    if outcome.interrupted:
        finished = sum(status.finished for status in found)
        complain(
            f"interrupted; {finished} of {len(found)} runs are finished; run the same command again for the rest"
        )
        return INTERRUPTED
    try:
        result = sweep_result(plan, found, arguments.root)
        complain_of([f"{name} is left out: {problem}" for name, problem in result.not_counted.items()])
        _report(result, page)
    finally:  # failures are printed even if the report cannot be written
        for name, problem in outcome.failed.items():
            complain(f"{name} failed: {problem}")
    return FAILED if outcome.failed else DONE


def _report(result: SweepResult, page: Path) -> None:
    """The table, and the files."""
    from swarm_ray.sweeps.page import write_reports

    width, styled = layout()
    write(result_text(result, width=width, styled=styled))
    paths = ", ".join(path.name if path != page else str(path) for path in write_reports(result, page))
    write(f"report: {paths}\n")


def _page(asked: str | None, root: str, name: str) -> Path:
    """Where the page goes; beside the experiments where they lie in a folder of this machine.

    Raises:
        UserError: it cannot go there.
    """
    from swarm_ray.sweeps.page import require_page

    default = f"{name}.html" if "://" in root else Path(root, f"{name}.html")
    page = Path(default) if asked is None else asked_path(asked)
    require_outside(root, page)
    require_page(page, Path(root))
    return page


def _parallel(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UserError(f"--parallel: {text!r} is not possible; give auto or a whole number above 0")
    return int(text)


COMMANDS = (
    Command(
        "sweep",
        "run or resume a grid of settings under several seeds, and report on all runs",
        sweep,
        (
            option("file", metavar="FILE", help="a YAML file: name, preset, set, grid, seeds, baseline"),
            ROOT,
            option("--dry-run", action="store_true", help="check the file, list its runs, and end"),
            option(
                "--parallel",
                metavar="auto|N",
                default="auto",
                help="runs at once (default: as many as fit)",
            ),
            option(
                "--report",
                metavar="FILE",
                help="where the page goes, CSV and JSON beside it (default: <name>.html in the root)",
            ),
        ),
    ),
)
