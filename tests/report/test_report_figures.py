"""Figures of the report and the picture of rewards: their numbers, fewer points that look the same, files."""

import csv
import itertools
import struct
from pathlib import Path

import msgspec
import pytest
from experiments_for_tests import FakeExperiment, finished
from reports_for_tests import config_of, evidence_of, full

from swarm_ray.config.load import load_config
from swarm_ray.errors import ExperimentNotFoundError, UserError
from swarm_ray.experiments import ClosedStage, compare_experiments
from swarm_ray.observe.reference_results import PAPER, ratio_to
from swarm_ray.observe.report import reward_figure
from swarm_ray.observe.report.chart import Chart, shortened
from swarm_ray.observe.report.curves import Point, curves_of, moving_average, thin, thin_evenly
from swarm_ray.observe.report.html_page import head, visible
from swarm_ray.observe.report.page import sections_of
from swarm_ray.observe.report.page_tables import paper_table
from swarm_ray.observe.report.sharing import ratio_of
from swarm_ray.observe.status_tables import comparison_table
from swarm_ray.sweeps.splits import beside_paper


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
    pairs = itertools.permutations(["node-0", "node-1", "node-2"], 2)
    assert set(charts["matrix-shared"].rows) == {(*pair, 24) for pair in pairs}
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


def stage(number: int, rewards: dict[str, float], turn: int = 0) -> ClosedStage:
    return ClosedStage(number, turn, rewards, {}, len(rewards), (), (), (), (), (), 1.0)


def pixels(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", data[16:24])


def test_a_moving_average_is_centred_shorter_at_the_ends_and_leaves_out_what_is_not_there() -> None:
    assert moving_average([0.0, 3.0, 6.0, 9.0], 3) == [1.5, 3.0, 6.0, 7.5]
    assert moving_average([], 5) == []
    assert moving_average([1.0, None, 3.0], 3) == [1.0, 2.0, 3.0]
    assert moving_average([None, None, 3.0], 1) == [None, None, 3.0]


def test_curves_are_those_worked_out_by_hand() -> None:
    rewards: list[dict[str, float]] = [{"a": 0.0, "b": 1.0}, {"a": 0.5}, {}, {"a": 1.0, "b": 0.0}]
    curves = curves_of([stage(number, one) for number, one in enumerate(rewards)])
    assert (curves.rounds, curves.window) == ([0, 1, 2, 3], 1)
    assert curves.raw == curves.smooth == [0.5, 0.5, None, 0.5]
    assert curves.lowest == [0.0, 0.5, None, 0.0]
    assert curves.highest == [1.0, 0.5, None, 1.0]
    assert curves.cumulative == [1.0, 1.5, 1.5, 2.5]


def test_the_band_is_that_of_the_smoothed_nodes() -> None:
    stages = [stage(n, {"a": float(n % 2), "b": 0.25}) for n in range(8)]
    curves = curves_of(stages, window=4)
    assert curves.lowest[2:6] == [0.25] * 4
    assert curves.highest[2:6] == [0.5] * 4


def test_the_window_is_a_tenth_of_the_rounds_and_100_at_most() -> None:
    assert curves_of([stage(n, {"a": 0.0}) for n in range(50)]).window == 5
    assert curves_of([stage(n, {"a": 0.0}) for n in range(1500)]).window == 100
    assert curves_of([]).window == 1


def test_stages_of_one_round_count_together() -> None:
    curves = curves_of([stage(0, {"a": 0.25}), stage(0, {"a": 0.75}, turn=1)])
    assert (curves.rounds, curves.raw, curves.cumulative) == ([0], [0.5], [1.0])


def test_there_is_a_picture_of_two_experiments_and_of_the_shortest(tmp_path: Path) -> None:
    finished(tmp_path, "shared", load_config(overrides=["nodes=2", "rounds=30"]))
    finished(tmp_path, "alone", load_config(overrides=["nodes=2", "rounds=20", "local=8", "external=0"]))
    experiment = FakeExperiment(tmp_path, "short", load_config(overrides=["nodes=2", "rounds=3"]))
    path = tmp_path / "reward.png"
    for names in (["shared", "alone"], ["short"]):
        assert reward_figure(str(tmp_path), names, path) == path
        assert pixels(path) == (1200, 500)
    experiment.close(0, {"node-0": 0.0, "node-1": 0.0})
    assert pixels(reward_figure(str(tmp_path), ["short"], path)) == (1200, 500)


def test_a_picture_that_cannot_be_written_is_the_users_mistake(tmp_path: Path) -> None:
    finished(tmp_path, "swarm", load_config(overrides=["nodes=2", "rounds=1"]))
    with pytest.raises(UserError, match="could not be written"):
        reward_figure(str(tmp_path), ["swarm"], tmp_path / "nowhere" / "reward.png")
    with pytest.raises(UserError, match="no picture of this kind"):
        reward_figure(str(tmp_path), ["swarm"], tmp_path / "reward.txt")
    with pytest.raises(ExperimentNotFoundError):
        reward_figure(str(tmp_path), ["swarms"], tmp_path / "reward.png")


@pytest.fixture
def pair(tmp_path: Path) -> list[FakeExperiment]:
    shared = ["nodes=2", "rounds=6"]
    alone = load_config(overrides=[*shared, "local=8", "external=0"])
    first = finished(tmp_path, "alone", alone, rising=0.04)
    return [first, finished(tmp_path, "shared", load_config(overrides=shared), rising=0.09)]


def test_a_table_a_page_and_a_frame_tell_one_ratio(pair: list[FakeExperiment], tmp_path: Path) -> None:
    alone, shared = compare_experiments(str(tmp_path), ["alone", "shared"])
    ratio = ratio_to(shared, alone)
    assert ratio == pytest.approx(2.25)
    assert f" {ratio:.2f}x " in comparison_table([alone, shared])
    assert ratio_of(*(evidence_of(one) for one in reversed(pair))) == pytest.approx(ratio)
    frame = beside_paper([alone, shared])
    assert frame.loc["4/4", "to 8/0"] == ratio
    paper = ratio_to(PAPER["4/4"], PAPER["8/0"])
    assert frame.loc["4/4", "paper, to 8/0"] == paper == pytest.approx(1.946, abs=0.001)
    rows = {row[0]: row for row in paper_table([evidence_of(one) for one in pair]).rows}
    times = "\N{MULTIPLICATION SIGN}"
    assert (rows["4/4"][3], rows["4/4"][5]) == (f"2.25 {times}", f"1.95 {times}")


def test_there_is_no_ratio_over_something_else(pair: list[FakeExperiment], tmp_path: Path) -> None:
    alone, shared = compare_experiments(str(tmp_path), [one.name for one in pair])
    for other in ({"rounds": 5}, {"nodes": 3}, {"cumulative_reward": 0.0}):
        assert ratio_to(shared, msgspec.structs.replace(alone, **other)) is None
    assert ratio_to(shared, None) is None
