"""The report: one page that opens anywhere, without a network, and its figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from swarm_ray.errors import UserError
from swarm_ray.experiments.manage.files import (
    PAGE_MARK,
    asked_path,
    require_outside,
    require_renewable,
    resolved,
    writing_errors,
    written_whole,
)
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.observe.report.evidence import Evidence, read_evidence
from swarm_ray.observe.report.findings import learning_of
from swarm_ray.observe.report.html_page import Page, Section
from swarm_ray.observe.report.page_tables import summary_table
from swarm_ray.observe.report.sections import sections_of
from swarm_ray.observe.report.sharing import sharing_of

_CAUTION = (
    "The nodes and the coordinator report all figures themselves, and the report checks no signatures, only that files "
    "are whole (their hashes fit) and well-formed. Each node scores the external rollouts that it learns from again; "
    "a node's own rewards, which are summed here, are not scored a second time."
)
_NOT_ALL = "Not all of {} could be read, so what follows may be incomplete:"


def write_report(
    root: str,
    names: Sequence[str],
    path: Path | str,
    figures: Path | str | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a report of experiments as one HTML page, which holds all that it shows.

    What is missing in a folder is said in the page; it fails only where nothing can be said.

    Args:
        root: the folder that holds the experiments.
        names: which; the baseline is the first of them without external rollouts.
        path: where the page goes; a page that Swarm Ray wrote is renewed.
        figures: a folder for every figure as PNG, SVG and CSV; it is made if need be, and figures are renewed.
        overwrite: write over any other file, too.

    Returns:
        `path`.

    Raises:
        ExperimentNotFoundError: one of them is not there.
        ConfigError: the stored configuration of one is missing or was altered.
        SwarmStateError: the newest state record of one is not one that this version reads.
        UserError: a name is given twice or none at all, another file has the name of the page or of a figure, or one
            of them cannot be written.
        StoreError: the folder cannot be read.
    """
    if not names:
        raise UserError("a report needs the name of an experiment")
    twice = next((name for name in names if list(names).count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{twice!r} is given twice; name each experiment once")
    path, folder = asked_path(path), None if figures is None else asked_path(figures)
    for written in (path, *([folder] if folder else [])):
        require_outside(root, written)
    _require_place(path)
    if not overwrite:
        require_renewable({path: PAGE_MARK}, "report")
    evidences = [read_evidence(experiment) for experiment in [open_experiment(root, name) for name in names]]
    sections = sections_of(evidences)
    charts = [chart for section in sections for chart in section.charts]
    if folder is not None and not overwrite:
        for chart in charts:
            require_renewable(chart.marks(folder), "figure")
    page = _page(evidences, sections).html()
    if folder is not None:
        with writing_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    with written_whole(resolved(path)) as part:  # what a link leads to is renewed, and not the link
        part.write_text(page, encoding="utf-8")
    if folder is not None:
        for chart in charts:
            chart.write(folder)
    return path


def _require_place(path: Path) -> None:
    """Refuse paths that cannot be written, before anything is read."""
    with writing_errors(path):
        if path.is_dir():
            raise UserError(f"{path} is a folder; give the name of a file")
        if path.exists() and not path.is_file():
            raise UserError(f"{path} could not be written: it is not an ordinary file; name another path")
        parent = path.absolute().parent
        if not parent.is_dir():
            why = (
                "a file stands where a folder is needed"
                if parent.exists()
                else f"the folder {parent} does not exist"
            )
            raise UserError(f"{path} could not be written: {why}; name another path")


def _page(evidences: Sequence[Evidence], sections: Sequence[Section]) -> Page:
    learning, sharing = [learning_of(one) for one in evidences], sharing_of(evidences)
    several = len(evidences) > 1
    return Page(
        kind="report",
        mark=PAGE_MARK,
        title=", ".join(one.name for one in evidences),
        findings=[*sharing, *learning] if several else [*learning, *sharing],
        wide=sharing[0] if several and len(sharing) == 1 else None,
        summary=summary_table(evidences),
        sections=sections,
        caution=_CAUTION,
        remarks=[(_NOT_ALL.format(one.name), one.problems) for one in evidences if one.problems],
    )
