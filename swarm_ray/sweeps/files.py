"""What a sweep found, for other programs: a row per run as CSV, everything as JSON."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec

from swarm_ray.observe.report.renewal import WRITER
from swarm_ray.sweeps.remarks import remarks_on
from swarm_ray.sweeps.results import MEASURES, Figure, PointResult, SweepResult

CSV_HEADS = ("experiment", "setting", "baseline", "seed")


def csv_text(result: SweepResult) -> str:
    """A row for each finished run: its name, its seed, the grid's keys, and every measure."""
    keys = list(dict.fromkeys(key for point in result.points for key, _ in point.point.values))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*CSV_HEADS, *keys, *[m.key for m in MEASURES]])
    for point in result.points:
        for run in point.runs:
            settings = [_cell(dict(point.point.values).get(key)) for key in keys]
            figures = [_cell(measure.of(run.figures)) for measure in MEASURES]
            head = [run.run.experiment, point.point.label, int(point.is_baseline), run.run.seed]
            writer.writerow([*head, *settings, *figures])
    return out.getvalue()


def json_text(result: SweepResult) -> str:
    """The whole result as one JSON document, indented."""
    document = {
        "written_by": WRITER,
        "name": result.name,
        "seeds": result.seeds,
        "baseline": dict(result.baseline.values) if result.baseline else None,
        "remarks": remarks_on(result),
        "not_finished": {standing.run.experiment: standing.state for standing in result.missing},
        "not_counted": result.not_counted,
        "points": [_point(point) for point in result.points],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _point(point: PointResult) -> dict[str, Any]:
    return {
        "setting": dict(point.point.values),
        "is_baseline": point.is_baseline,
        "runs": [run.figures for run in point.runs],
        "measures": {key: _figure(figure) for key, figure in point.figures.items()},
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "values": {str(seed): value for seed, value in figure.values.items()},
        "interval": figure.interval,
        "paired_difference": figure.paired,
        "difference": figure.difference,
        "p_holm": figure.p_holm,
    }


def _cell(value: object) -> object:
    """Numbers and texts as they are, anything else as JSON; nothing as an empty cell."""
    if value is None or (isinstance(value, int | float | str) and not isinstance(value, bool)):
        return value
    return msgspec.json.encode(value).decode()
