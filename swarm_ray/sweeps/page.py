"""The report of a sweep: one HTML page that opens anywhere without a network, CSV and JSON beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import jinja2

from swarm_ray.errors import UserError
from swarm_ray.experiments.manage.files import resolved, writing_errors, written_whole
from swarm_ray.machine.versions import installed_versions
from swarm_ray.observe.report.chart import Chart
from swarm_ray.observe.report.inline_svg import inlined
from swarm_ray.observe.report.renewal import JSON_MARK, SWEEP_MARK, require_renewable
from swarm_ray.observe.report.shown_text import visible
from swarm_ray.observe.statistics import LEVEL, Interval
from swarm_ray.sweeps.charts import sweep_charts
from swarm_ray.sweeps.files import CSV_HEADS, csv_text, json_text
from swarm_ray.sweeps.remarks import remarks_on
from swarm_ray.sweeps.results import MEASURES, Measure, PointResult, SweepResult
from swarm_ray.sweeps.table import (
    DIFFERENCE_HEADS,
    amount,
    bounds_text,
    difference_cells,
    interval_text,
    mean_text,
    p_text,
)

Row = tuple[str, ...]
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"


def write_reports(result: SweepResult, page: Path) -> list[Path]:
    """Write the page, and beside it the runs as CSV and everything as JSON; what a sweep wrote before is renewed.

    Args:
        result: of the sweep.
        page: where the page goes; its name ends in `.html`.

    Returns:
        The three paths.

    Raises:
        UserError: the page cannot have that name, there is another file of it, or one cannot be written.
    """
    require_page(page)
    paths = list(_marks(page))
    texts = [page_text(result), csv_text(result), json_text(result)]
    for path, text in zip(paths, texts, strict=True):
        with written_whole(resolved(path)) as part:
            part.write_text(text, encoding="utf-8")
    return paths


def require_page(page: Path, root: Path | None = None) -> None:
    """Refuse a name that the page cannot have, before anything runs for hours.

    Args:
        page: where it is to go, CSV and JSON beside it.
        root: a folder that will be there by then.

    Raises:
        UserError: the name does not end in `.html`, is that of a folder, or lies in none; or one of the three files is
            there and no sweep wrote it.
        StoreError: what is there cannot be read.
    """
    if page.suffix != ".html":
        raise UserError(f"--report {page}: the page's name must end in .html; CSV and JSON go beside it")
    with writing_errors(page):
        if page.is_dir() or not (page.absolute().parent.is_dir() or page.parent == root):
            raise UserError(
                f"--report {page}: this is a folder, or lies in none; give the name of a file in a folder"
            )
    require_renewable(_marks(page), "sweep's report", "give another --report, or move it away")


def _marks(page: Path) -> dict[Path, str]:
    """Page, CSV and JSON, and by what each is known."""
    return {
        page: SWEEP_MARK,
        page.with_suffix(".csv"): ",".join(CSV_HEADS),
        page.with_suffix(".json"): JSON_MARK,
    }


def page_text(result: SweepResult) -> str:
    """The page."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.globals["inlined"] = _inlined
    template = environment.from_string(_packaged("swarm_ray.sweeps", "page.html"))
    curves, first, *others = sweep_charts(result)
    titles = [measure.title for measure in MEASURES]
    return template.render(
        mark=SWEEP_MARK,
        name=result.name,
        baseline=result.baseline.label if result.baseline else "",
        seeds=", ".join(map(str, result.seeds)),
        conclusions=[
            conclusion(result, point) for point in result.points if not point.is_baseline and result.baseline
        ],
        remarks=remarks_on(result),
        charts=[curves, first],
        other_charts=others,
        mean_heads=("setting", "runs", *titles),
        means=_means(result),
        differences=[(m.title, _differences(result, number)) for number, m in enumerate(MEASURES)],
        difference_heads=("setting", *DIFFERENCE_HEADS),
        run_heads=("experiment", "seed", *titles),
        runs=_runs(result),
        style=_packaged("swarm_ray.observe.report", "page.css"),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=installed_versions().get("swarm-ray", ""),
    )


def conclusion(result: SweepResult, point: PointResult) -> tuple[str, str, str]:
    """What may be said of a grid point by the first measure: a word for its colour, its label, and sentences."""
    measure = MEASURES[0]
    figure = point.figures[measure.key]
    test, paired = figure.difference, figure.paired
    if test is None or paired is None or figure.p_holm is None:
        return (
            "open",
            point.point.label,
            "Not compared: it has no finished run that counts, or the baseline has none.",
        )
    answer, verdict = _verdict(test.p, figure.p_holm, paired.mean, result.least_p())
    ratio = "" if paired.ratio is None else f", {paired.ratio:.2f} times the baseline's"
    bounds = "no interval of one seed" if paired.low is None else f"interval {bounds_text(measure, paired)}"
    said = (
        f"{verdict}: {measure.title} {amount(measure, paired.mean, signed=True)} ({bounds}){ratio}. A run of it is "
        f"ahead of one of the baseline in {test.superiority:.0%} of the pairs; p = {p_text(test.p)}, after Holm "
        f"{p_text(figure.p_holm)}."
    )
    return answer, point.point.label, said


def _verdict(p: float, adjusted: float, change: float, least: float) -> tuple[str, str]:
    """By the test alone: an interval of a few seeds leaves out 0 too easily to decide anything."""
    better = "better" if change > 0 else "worse"
    if adjusted <= LEVEL:
        return ("yes" if change > 0 else "no"), better.capitalize()
    if p <= LEVEL:
        return "partly", f"Perhaps {better}, though not after the adjustment for several comparisons"
    return "open", "Too few seeds to tell" if least > LEVEL else "Not shown to differ"


def _means(result: SweepResult) -> list[Row]:
    return [
        (
            f"{p.point.label}{' (baseline)' if p.is_baseline else ''}",
            str(len(p.runs)),
            *[_mean_cell(m, p.figures[m.key].interval) for m in MEASURES],
        )
        for p in result.points
    ]


def _mean_cell(measure: Measure, found: Interval | None) -> str:
    """On two lines: the mean with its standard deviation, and its interval."""
    return f"{mean_text(measure, found, PLUS_MINUS)}\n{interval_text(measure, found)}"


def _differences(result: SweepResult, number: int) -> list[Row]:
    measure = MEASURES[number]
    return [
        (point.point.label, *difference_cells(measure, point.figures[measure.key]))
        for point in result.points
        if not point.is_baseline
    ]


def _runs(result: SweepResult) -> list[Row]:
    rows: list[Row] = []
    for point in result.points:
        for run in point.runs:
            values = [(measure, measure.of(run.figures)) for measure in MEASURES]
            cells = ["\N{EN DASH}" if value is None else amount(measure, value) for measure, value in values]
            rows.append((run.run.experiment, str(run.run.seed), *cells))
    return rows


def _inlined(chart: Chart) -> str:
    return inlined(chart.svg(), f"{chart.slug}-", f"{chart.title}. {chart.caption}")


def _shown(value: object) -> object:
    """Text without what cannot be seen; what is markup already stays."""
    return visible(value, len(value)) if type(value) is str else value


def _packaged(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
