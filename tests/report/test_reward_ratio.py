"""The ratio to a baseline is the same wherever it is told."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from experiments_for_tests import FakeExperiment, finished
from reports_for_tests import evidence_of

from swarm_ray.config.load import load_config
from swarm_ray.experiments import compare_experiments
from swarm_ray.observe.reference_results import PAPER, ratio_to
from swarm_ray.observe.report.page_tables import paper_table
from swarm_ray.observe.report.sharing import ratio_of
from swarm_ray.observe.status_tables import comparison_table
from swarm_ray.sweeps.splits import beside_paper


@pytest.fixture
def pair(tmp_path: Path) -> list[FakeExperiment]:
    configs = [
        load_config(overrides=["nodes=2", "rounds=6", *split]) for split in (["local=8", "external=0"], [])
    ]
    names = ("alone", "shared")
    return [
        finished(tmp_path, name, config, rising=rising)
        for name, config, rising in zip(names, configs, (0.04, 0.09), strict=True)
    ]


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
    assert (rows["4/4"][3], rows["4/4"][5]) == (
        "2.25 \N{MULTIPLICATION SIGN}",
        "1.95 \N{MULTIPLICATION SIGN}",
    )


def test_there_is_no_ratio_of_what_was_summed_over_something_else(
    pair: list[FakeExperiment], tmp_path: Path
) -> None:
    alone, shared = compare_experiments(str(tmp_path), [one.name for one in pair])
    for other in ({"rounds": 5}, {"nodes": 3}, {"cumulative_reward": 0.0}):
        assert ratio_to(shared, msgspec.structs.replace(alone, **other)) is None
    assert ratio_to(shared, None) is None
