"""The report: one page that opens anywhere, without a network, and its figures as files.

What stands in it, section by section; where there is nothing to show, it says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from swarm_ray.config.load import render_yaml
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
from swarm_ray.experiments.read.rollouts import Questions, samples_of
from swarm_ray.observe.report.chart import Chart
from swarm_ray.observe.report.evidence import Evidence, read_evidence
from swarm_ray.observe.report.findings import learning_of
from swarm_ray.observe.report.html_page import Page, Section, Table
from swarm_ray.observe.report.incidents import rejections_of
from swarm_ray.observe.report.page_tables import (
    count_table,
    incident_table,
    node_table,
    origin_table,
    paper_table,
    settings_table,
    specialty_table,
    store_table,
    summary_table,
    time_table,
)
from swarm_ray.observe.report.reward_charts import reward_charts
from swarm_ray.observe.report.run_charts import (
    MOST_NODES,
    batch_chart,
    matrix_chart,
    specialty_chart,
    store_chart,
    time_chart,
)
from swarm_ray.observe.report.sharing import sharing_of

_CAUTION = (
    "The nodes and the coordinator report all figures themselves, and the report checks no signatures, only that files "
    "are whole (their hashes fit) and well-formed. Each node scores the external rollouts that it learns from again; "
    "a node's own rewards, which are summed here, are not scored a second time."
)


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
    for written in filter(None, (path, folder)):
        require_outside(root, written)
    _require_place(path)
    if not overwrite:
        require_renewable({path: PAGE_MARK}, "report")
    evidences = [read_evidence(experiment) for experiment in [open_experiment(root, name) for name in names]]
    sections = sections_of(evidences)
    charts = [chart for section in sections for chart in section.charts]
    if folder is not None and not overwrite:
        require_renewable({file: mark for c in charts for file, mark in c.marks(folder).items()}, "figure")
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
    parent = path.absolute().parent
    with writing_errors(path):
        if path.is_dir():
            raise UserError(f"{path} is a folder; give the name of a file")
        reasons = {
            "it is not an ordinary file": path.exists() and not path.is_file(),
            f"the folder {parent} does not exist": not parent.exists(),
            "a file stands where a folder is needed": not parent.is_dir(),
        }
    if why := next((reason for reason, holds in reasons.items() if holds), ""):
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
        remarks=[
            (f"Not all of {one.name} could be read, so what follows may be incomplete:", one.problems)
            for one in evidences
            if one.problems
        ],
    )


Part = TypeVar("Part", Chart, Table)
_NO_METRICS = "no metrics have been logged yet, or they are gone."
_NO_STORE_USE = "the logs do not say what was asked of the folder; another version of Swarm Ray wrote them."
SAMPLED_NODES = 3
"""Of which rollouts are shown, per round."""
_HOW_PICKED = (
    "The first rollout of the first nodes in the first, the middle and the last round whose files are kept; none is "
    "picked by how good it is. Rewards are those that the node itself published."
)


def sections_of(evidences: Sequence[Evidence]) -> list[Section]:
    """All sections, in the order of the page."""
    batches = _each(evidences, batch_chart, "rollouts", lambda _: _NO_METRICS)
    return [
        _rewards(evidences),
        _measured(
            "held-out",
            "Held-out questions",
            evidences,
            specialty_chart,
            specialty_table,
            _why_not_measured,
            before=2,
        ),
        _from_whom(evidences),
        Section("rollouts", "Own and external rollouts over time", *batches),
        _measured("time", "Where the time went", evidences, time_chart, time_table, lambda _: _NO_METRICS),
        _measured("store", "The shared folder", evidences, store_chart, store_table, _why_no_store_use),
        _incidents(evidences),
        _nodes(evidences),
        _rollouts(evidences),
        _configuration(evidences),
    ]


def _rewards(evidences: Sequence[Evidence]) -> Section:
    """Both figures of the paper, and its table."""
    closed = [one for one in evidences if one.rounds]
    charts = tuple(reward_charts(closed)) if closed else ()
    tables = (paper_table(evidences),) if closed else ()
    return Section("rewards", "Rewards", _grouped(evidences, _why_no_round), charts, tables)


def _why_no_round(evidence: Evidence) -> str:
    """Empty where a round has closed."""
    unread = not evidence.records and evidence.status.round >= 0
    why = "the state log could not be read, so no round is known." if unread else "no round has closed yet."
    return "" if evidence.rounds else why


def _why_not_measured(evidence: Evidence) -> str:
    if evidence.config.evaluation.questions == 0:
        return "held-out pass@1 is not measured: evaluation.questions is 0."
    if evidence.under_way:
        return "not ended yet; held-out pass@1 is measured again after the last round."
    return "the logs do not hold held-out pass@1 of both start and end for any node."


def _from_whom(evidences: Sequence[Evidence]) -> Section:
    said, charts = _each(evidences, matrix_chart, "matrix", _why_no_exchange)
    if any(len(one.nodes) > MOST_NODES for one in evidences):
        said += (f"Of more than {MOST_NODES} nodes those are shown that exchanged most.",)
    return Section("from-whom", "Who learned from whom", said, charts)


def _why_no_exchange(evidence: Evidence) -> str:
    if evidence.config.external == 0:
        return "every node learned from its own rollouts alone (J is 0)."
    none = "no external rollout has been used: none passed the filter, or none was there."
    return none if evidence.rows else _NO_METRICS


def _why_no_store_use(evidence: Evidence) -> str:
    return _why_no_round(evidence) or _NO_STORE_USE


def _measured(
    id_: str,
    title: str,
    evidences: Sequence[Evidence],
    chart_of: Callable[[Sequence[Evidence]], Chart | None],
    table_of: Callable[[Sequence[Evidence]], Table | None],
    why_none: Callable[[Evidence], str],
    before: int = 1,
) -> Section:
    """A section with a chart and a table of the experiments that have figures, and why others have none.

    The table has a column for each of them, after `before` others.
    """
    chart, table = chart_of(evidences), table_of(evidences)
    shown = table.heads[before:] if table else ()
    said = _grouped(evidences, lambda one: "" if one.name in shown else why_none(one))
    return Section(id_, title, said, _there(chart), _there(table))


def _there(*parts: Part | None) -> tuple[Part, ...]:
    return tuple(part for part in parts if part is not None)


def _incidents(evidences: Sequence[Evidence]) -> Section:
    tables = _there(count_table(evidences), *(incident_table(one) for one in evidences))
    said = [] if tables else ["Nothing out of the ordinary was logged."]
    reasons = {one.name: rejections_of(one).items() for one in evidences}
    said += [
        f"External rollouts were rejected in {name}: {', '.join(f'{reason} ({n})' for reason, n in found)}."
        for name, found in reasons.items()
        if found
    ]
    return Section("incidents", "Incidents", tuple(said), (), tables)


def _nodes(evidences: Sequence[Evidence]) -> Section:
    said = _grouped(evidences, lambda one: "" if one.status.nodes else "no node has registered yet.")
    return Section("nodes", "Nodes", said, (), _there(*(node_table(one) for one in evidences)))


def _configuration(evidences: Sequence[Evidence]) -> Section:
    differing = settings_table(evidences) if len(evidences) > 1 else None
    same = len(evidences) > 1 and differing is None
    said = ("Their configurations are the same.",) if same else ()
    whole = tuple((f"The whole configuration of {one.name}", render_yaml(one.config)) for one in evidences)
    return Section(
        "configuration", "Configuration", said, (), _there(differing, origin_table(evidences)), whole
    )


def _rollouts(evidences: Sequence[Evidence]) -> Section:
    """Rollouts to read, where files are kept; experiments of the same tasks share what makes their questions."""
    tasks = {one.name: one.config.tasks.model_dump_json() for one in evidences}
    questions = {tasks[one.name]: Questions(one.config.tasks) for one in evidences}
    found = {
        one.name: tuple(samples_of(one.experiment, one.stages, questions[tasks[one.name]], SAMPLED_NODES))
        for one in evidences
    }
    shown = tuple((name, samples) for name, samples in found.items() if samples)
    said = _grouped(evidences, lambda one: "" if found[one.name] else _why_no_files(one))
    return Section("samples", "Rollouts to read", ((_HOW_PICKED,) if shown else ()) + said, samples=shown)


def _why_no_files(evidence: Evidence) -> str:
    kept = evidence.config.retention.rounds
    why = f"older ones are removed (retention.rounds is {kept})" if kept else "they were removed"
    gone = f"none of the round files that were looked for could be read; {why}, or they are damaged."
    return gone if evidence.stages else _why_no_round(evidence)


def _grouped(evidences: Sequence[Evidence], why: Callable[[Evidence], str]) -> tuple[str, ...]:
    """Why something is not shown, once for all experiments of which it holds; empty means that it is."""
    names: dict[str, list[str]] = {}
    for one in evidences:
        names.setdefault(why(one), []).append(one.name)
    return tuple(f"{', '.join(found)}: {reason}" for reason, found in names.items() if reason)


def _each(
    evidences: Sequence[Evidence],
    chart_of: Callable[[Evidence, str], Chart | None],
    slug: str,
    why_none: Callable[[Evidence], str],
) -> tuple[tuple[str, ...], tuple[Chart, ...]]:
    """Why some experiments have no chart, and the charts of the others."""
    found = {one.name: chart_of(one, f"{slug}-{one.name}") for one in evidences}
    said = _grouped(evidences, lambda one: why_none(one) if found[one.name] is None else "")
    return said, _there(*found.values())
