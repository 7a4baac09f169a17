"""The report of a sweep: one HTML page that opens anywhere without a network, CSV and JSON beside it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec

from swarm_ray.errors import UserError
from swarm_ray.experiments.manage.files import (
    JSON_MARK,
    SWEEP_MARK,
    WRITER,
    require_renewable,
    resolved,
    writing_errors,
    written_whole,
)
from swarm_ray.observe.report.findings import Finding
from swarm_ray.observe.report.html_page import Page, Section, Table
from swarm_ray.observe.statistics import LEVEL
from swarm_ray.sweeps.charts import sweep_charts
from swarm_ray.sweeps.results import MEASURES, PointResult, SweepResult
from swarm_ray.sweeps.table import (
    DIFFERENCE_HEADS,
    amount,
    bounds_text,
    difference_rows,
    limitations,
    mean_text,
    p_text,
)

CSV_HEADS = ("experiment", "setting", "baseline", "seed")


def csv_text(result: SweepResult) -> str:
    """A row for each finished run: its name, its seed, the grid's keys, and every measure."""
    keys = list(dict.fromkeys(key for point in result.points for key, _ in point.point.values))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*CSV_HEADS, *keys, *[m.key for m in MEASURES]])
    for point in result.points:
        settings = dict(point.point.values)
        for run in point.runs:
            head = [run.run.experiment, point.point.label, int(point.is_baseline), run.run.seed]
            figures = [measure.of(run.figures) for measure in MEASURES]
            writer.writerow(map(_cell, [*head, *map(settings.get, keys), *figures]))
    return out.getvalue()


def json_text(result: SweepResult) -> str:
    """The whole result as one JSON document, indented."""
    document = {
        "written_by": WRITER,
        "name": result.name,
        "seeds": result.seeds,
        "baseline": dict(result.baseline.values) if result.baseline else None,
        "remarks": limitations(result),
        "not_finished": {status.run.experiment: status.state for status in result.missing},
        "not_counted": result.not_counted,
        "points": [
            {
                "setting": dict(point.point.values),
                "is_baseline": point.is_baseline,
                "runs": [run.figures for run in point.runs],
                "measures": point.figures,
            }
            for point in result.points
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _cell(value: object) -> object:
    """Numbers and texts unchanged, anything else as JSON; None as an empty cell."""
    plain = value is None or (isinstance(value, int | float | str) and not isinstance(value, bool))
    return value if plain else msgspec.json.encode(value).decode()


PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
_METHOD = (
    "The difference and its 95 % bootstrap interval are taken seed by seed, since runs of one seed draw the same "
    "questions. U, p and \N{LEFT DOUBLE QUOTATION MARK}larger in\N{RIGHT DOUBLE QUOTATION MARK} compare all runs of a "
    "setting with all runs of the baseline (Mann-Whitney, two-sided, exact for few runs): larger in is the share of "
    "pairs in which the setting's run has the larger value, ties counting half. d is Cohen's, too large on the average "
    "where runs are few. The sweep decides by the cumulative reward; the other measures stand beside it."
)


def write_reports(result: SweepResult, page: Path) -> list[Path]:
    """Write the page, and beside it the runs as CSV and everything as JSON; files of an earlier sweep are replaced.

    Args:
        result: of the sweep.
        page: where the page goes; its name ends in `.html`.

    Returns:
        The three paths.

    Raises:
        UserError: the name is not allowed, another file has it, or a file cannot be written.
    """
    require_page(page)
    paths = list(_marks(page))
    texts = [page_text(result), csv_text(result), json_text(result)]
    for path, text in zip(paths, texts, strict=True):
        with written_whole(resolved(path)) as part:
            part.write_text(text, encoding="utf-8")
    return paths


def require_page(page: Path, root: Path | None = None) -> None:
    """Refuse an impossible page name before anything runs for hours.

    Args:
        page: where it is to go, CSV and JSON beside it.
        root: a folder that will be there by then.

    Raises:
        UserError: the name does not end in `.html`, is a folder, or is not in a folder; or one of the three files
            exists and was not written by a sweep.
        StoreError: what is there cannot be read.
    """
    if page.suffix != ".html":
        raise UserError(f"--report {page}: the page's name must end in .html; CSV and JSON go beside it")
    with writing_errors(page):
        if page.is_dir() or not (page.absolute().parent.is_dir() or page.parent == root):
            raise UserError(
                f"--report {page}: this is a folder, or its folder is missing; give the name of a file in a folder"
            )
    require_renewable(_marks(page), "sweep's report", "give another --report, or move it away")


def _marks(page: Path) -> dict[Path, str]:
    """Page, CSV and JSON, with the mark that identifies each."""
    return {
        page: SWEEP_MARK,
        page.with_suffix(".csv"): ",".join(CSV_HEADS),
        page.with_suffix(".json"): JSON_MARK,
    }


def page_text(result: SweepResult) -> str:
    """The page."""
    baseline = result.baseline.label if result.baseline else ""
    seeds = f"seeds {', '.join(map(str, result.seeds))}"
    charts = tuple(sweep_charts(result))
    differences = tuple(Table(m.title, DIFFERENCE_HEADS, difference_rows(result, m)) for m in MEASURES)
    sections = [
        Section("figures", "Figures", charts=charts),
        *([Section("differences", "Against the baseline", (_METHOD,), (), differences)] if baseline else []),
        Section("runs", "Runs", tables=(_runs(result),)),
    ]
    others = [point for point in result.points if not point.is_baseline and baseline]
    return Page(
        kind="sweep",
        mark=SWEEP_MARK,
        title=result.name,
        findings=[conclusion(result, point) for point in others],
        summary=_means(result),
        sections=sections,
        remarks=[("Limits of these figures", limitations(result))],
        details=[seeds, *([f"baseline {baseline}"] if baseline else [])],
    ).html()


def conclusion(result: SweepResult, point: PointResult) -> Finding:
    """The conclusion about a grid point, by the first measure."""
    measure, label = MEASURES[0], point.point.label
    about = f"against {result.baseline.label}" if result.baseline else ""
    figure = point.figures[measure.key]
    test, paired = figure.difference, figure.paired_difference
    if test is None or paired is None or figure.p_holm is None:
        said = "Not compared: the setting or the baseline has no valid finished run."
        return Finding(label, about, "open", said, ())
    answer, verdict = _verdict(test.p, figure.p_holm, paired.mean, result.least_p())
    ratio = "" if paired.ratio is None else f", {paired.ratio:.2f} times the baseline's"
    bounds = (
        "no interval with one seed"
        if paired.low is None
        else f"interval {bounds_text(measure, paired, signed=True)}"
    )
    said = (
        f"{verdict}: {measure.title} {amount(measure, paired.mean, signed=True)} ({bounds}){ratio}. A run of it is "
        f"ahead of one of the baseline in {test.superiority:.0%} of the pairs; p = {p_text(test.p)}, after Holm "
        f"{p_text(figure.p_holm)}."
    )
    return Finding(label, about, answer, said, ())


def _verdict(p: float, adjusted: float, change: float, least: float) -> tuple[str, str]:
    """By the test alone: an interval over a few seeds excludes 0 too easily."""
    better = "better" if change > 0 else "worse"
    if adjusted <= LEVEL:
        return ("yes" if change > 0 else "no"), better.capitalize()
    if p <= LEVEL:
        return "partly", f"Perhaps {better}, but not after the adjustment for several comparisons"
    return "open", "Too few seeds to tell" if least > LEVEL else "Not shown to differ"


def _means(result: SweepResult) -> Table:
    rows = [
        (
            f"{p.point.label}{' (baseline)' if p.is_baseline else ''}",
            str(len(p.runs)),
            *[
                f"{mean_text(m, found := p.figures[m.key].interval, PLUS_MINUS)}\n{bounds_text(m, found)}"
                for m in MEASURES
            ],
        )
        for p in result.points
    ]
    return Table(
        "Every setting",
        ("setting", "runs", *[measure.title for measure in MEASURES]),
        tuple(rows),
        note="Mean \N{PLUS-MINUS SIGN} standard deviation over the seeds, and below it the 95 % bootstrap interval of "
        "the mean. One run is one number.",
        stacked=True,
    )


def _runs(result: SweepResult) -> Table:
    rows = [
        (run.run.experiment, str(run.run.seed), *[amount(m, m.of(run.figures)) for m in MEASURES])
        for point in result.points
        for run in point.runs
    ]
    return Table("", ("experiment", "seed", *[measure.title for measure in MEASURES]), tuple(rows))
