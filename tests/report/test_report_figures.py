"""Figures of the report: fewer points that look the same, SVG that fits in a page, files on request."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from reports_for_tests import config_of, evidence_of, full

from swarm_ray.observe.report.chart import Chart, shortened
from swarm_ray.observe.report.curves import Point, thin, thin_evenly
from swarm_ray.observe.report.html_page import head, visible
from swarm_ray.observe.report.page import sections_of


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Chart]:
    """All figures of a run and its baseline, by their slugs."""
    root = tmp_path_factory.mktemp("root")
    shared = full(root, "shared", config_of())
    alone = full(root, "alone", config_of("local=8", "external=0"), rising=0.01)
    sections = sections_of([evidence_of(shared), evidence_of(alone)])
    return {chart.slug: chart for section in sections for chart in section.charts}


def test_a_thinned_line_keeps_its_ends_and_extremes() -> None:
    points: list[Point] = [(float(x), float(x % 7)) for x in range(5000)]
    points[1234], points[4321], points[777] = (1234.0, 99.0), (4321.0, -99.0), (777.0, None)
    kept = thin(points, stretches=50)
    assert kept[0] == points[0]
    assert kept[-1] == points[-1]
    assert {points[1234], points[4321], points[777]} <= set(kept)
    assert len(kept) <= 5 * 50
    assert kept == sorted(kept, key=lambda point: point[0])
    assert thin(points[:60], stretches=50) == points[:60]
    places = thin_evenly(2000, 480)
    assert (places[0], places[-1], len(places)) == (0, 1999, 480)
    assert thin_evenly(3) == [0, 1, 2]


def test_there_is_a_figure_of_everything(charts: dict[str, Chart]) -> None:
    ours = "matrix-shared rollouts-shared rollouts-alone"
    assert set(charts) == {"reward", "cumulative", "pass-at-1", "time", "store", *ours.split()}


def test_numbers_are_those_of_the_run(charts: dict[str, Chart]) -> None:
    assert set(charts["matrix-shared"].rows) == {
        (f"node-{a}", f"node-{b}", 24) for a in range(3) for b in range(3) if a != b
    }
    assert charts["pass-at-1"].rows[0] == ("shared", "lcm", pytest.approx(0.1), pytest.approx(0.5))
    assert charts["rollouts-alone"].rows[5] == (5, 4.0, 0.0, 0.0)
    store = {(name, kind): count for name, kind, count in charts["store"].rows}
    assert (store["shared", "reads"], store["shared", "lists"]) == (2.0, 3.0)
    assert charts["reward"].columns[:3] == ("experiment", "round", "mean")
    assert len(charts["reward"].rows) == 48


def test_every_figure_is_written_three_times(charts: dict[str, Chart], tmp_path: Path) -> None:
    png, svg, table = charts["cumulative"].write(tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "<text" in svg.read_text()
    rows = list(csv.reader(table.read_text().splitlines()))
    assert rows[0] == ["experiment", "round", "cumulative"]
    assert len(rows) == 49


def test_texts_and_names_of_others_are_cut_and_steer_nothing() -> None:
    assert shortened("short") == "short"
    assert shortened(f"{'a' * 30}{'b' * 30}") == f"{'a' * 11}\N{HORIZONTAL ELLIPSIS}{'b' * 10}"
    assert visible("a\x1b[31m\u202eb\nc\x00") == "a\\x1b[31m\\u202eb\nc\\x00"
    assert visible("x" * 5000).endswith("(1000 more characters)")
    assert head("short") == ""
    assert len(head("word " * 100)) == 141
