"""Tables that people read, and numbers in them."""

from pathlib import Path

import msgspec
import pytest
from experiments_for_tests import FakeExperiment, finished, metrics_row

from swarm_ray.config.load import load_config
from swarm_ray.experiments import (
    Comparison,
    ExperimentStatus,
    NodeStatus,
    compare_experiments,
    experiment_status,
    list_experiments,
    time_breakdown,
)
from swarm_ray.experiments.folder import sizes_of
from swarm_ray.formatting import clean, duration, large
from swarm_ray.observe.reference_results import Setting, ratio_to, seed_results_text
from swarm_ray.observe.status_tables import comparison_table, list_table, status_table, time_text

SIZES = {"nodes": 8, "rounds": 2000, "local": 4, "external": 4, "completions": 8}
MEANS = {"reward_first": 0.0123, "reward_last": 0.4567, "pass_at_1_start": 0.0006, "pass_at_1_end": None}
SUMS = {
    "cumulative_reward": 1093.31,
    "generated_tokens": 12_345_678,
    "seconds": 5400.0,
    "external_used": 64_000,
}
SHARED = Comparison("tiny-20260801-120000", **SIZES, **MEANS, **SUMS, state="running", learned_nothing=False)
ALONE = msgspec.structs.replace(
    SHARED, experiment="tiny-20260801-120000-alone", local=8, external=0, cumulative_reward=561.79
)


def line_of(text: str, beginning: str) -> list[str]:
    return next(line for line in text.splitlines() if line.startswith(beginning)).split()


def test_the_ratio_is_to_the_experiment_without_external_rollouts() -> None:
    text = comparison_table([SHARED, ALONE])
    assert text.splitlines()[0] == "8 nodes, 2000 rounds, 8 completions"
    assert line_of(text, "experiment")[:5] == ["experiment", "I/J", "cumulative", "vs", "8/0"]
    words = line_of(text, "tiny-20260801-120000 ")
    assert words[1:7] == ["4/4", "1093.3", "1.95x", "0.012", "->", "0.457"]
    assert words[7:] == ["0.001", "->", "-", "12M", "90", "min"]
    assert line_of(text, "tiny-20260801-120000-alone")[3] == "1.00x"
    assert "tiny-20260801-120000 is running" in text
    barren = msgspec.structs.replace(SHARED, learned_nothing=True)
    text = comparison_table([barren], styled=True)
    assert "tiny-20260801-120000 LEARNED NOTHING" in text
    assert "\x1b[1m" in text, "a terminal gets bold heads"


def test_there_is_no_ratio_without_a_baseline_or_to_itself_alone() -> None:
    other = msgspec.structs.replace(SHARED, experiment="other", external=6, local=2)
    assert "vs" not in comparison_table([SHARED, other])
    assert "vs" not in comparison_table([ALONE])


def test_runs_of_different_size_have_no_ratio_and_show_their_sizes() -> None:
    short = msgspec.structs.replace(ALONE, rounds=1000)
    assert ratio_to(SHARED, short) is None
    assert ratio_to(SHARED, msgspec.structs.replace(ALONE, cumulative_reward=0.0)) is None
    assert ratio_to(SHARED, ALONE) == pytest.approx(1093.31 / 561.79)
    text = comparison_table([SHARED, short])
    assert text.splitlines()[0] == "8 nodes, 8 completions"
    assert line_of(text, "tiny-20260801-120000 ")[2:5] == ["2000", "1093.3", "-"]


def test_tables_are_plain_and_fit_in_100_columns(tmp_path: Path) -> None:
    config = load_config(overrides=["nodes=2", "rounds=2"])
    finished(tmp_path, "tiny-20260801-120000-alone", config)
    assert list_table([]) == "no experiments\n"
    text = list_table(list_experiments(str(tmp_path)))
    text += comparison_table([SHARED, ALONE])
    text += comparison_table(compare_experiments(str(tmp_path), ["tiny-20260801-120000-alone"]))
    text += status_table(experiment_status(str(tmp_path)))
    text += time_text(time_breakdown([metrics_row("node-0", 1)]))
    assert text.isascii()
    assert all(character.isprintable() or character == "\n" for character in text)
    assert max(map(len, text.splitlines())) <= 100


def test_a_narrow_terminal_folds_names_and_cuts_no_number() -> None:
    lines = comparison_table([SHARED, ALONE], width=20).splitlines()
    assert "1093.3" in lines[3]
    assert "90 min" in lines[3]
    folded = "".join(line.split()[0] for line in lines[3:5])
    assert folded == SHARED.experiment


def test_a_status_says_what_is_wrong_below_the_table(tmp_path: Path) -> None:
    config = load_config(overrides=["nodes=2", "rounds=9"])
    experiment = FakeExperiment(tmp_path, "swarm", config)
    assert "no node has registered yet" in status_table(experiment_status(str(tmp_path)))
    experiment.register("node-0")
    experiment.problems["node-0"] = "the loss is not finite"
    experiment.close(0, {"node-0": 0.5})
    text = status_table(experiment_status(str(tmp_path)))
    assert text.startswith("swarm is running: round 1, 9 rounds in all\n")
    assert text.endswith("node-0: the loss is not finite\n")
    assert line_of(text, "node-0 ")[:3] == ["node-0", "0", "0"]
    assert line_of(text, "node-0 ")[5:7] == ["0.500", "0.50"]


def test_nothing_that_others_wrote_steers_the_terminal() -> None:
    gone = "\x1b[2J[red]gone[/red]\nline"
    node = NodeStatus("n", 0, 0, None, None, 0, 0, 0, [], False, "", gone, None, None, 0.0, 0)
    text = status_table(ExperimentStatus("swarm", 1, 0, 9, "running", "a\x07b\x9bc", True, [node]))
    assert "n:  [2J[red]gone[/red] line\n" in text
    assert "note: a b c\n" in text
    assert "LEARNED NOTHING" in text
    assert clean("a\rb\u202ec") == "a b c"


def test_time_is_told_largest_first() -> None:
    rows = [metrics_row(node, 20) for node in ("node-0", "node-1")]
    head, parts = time_text(time_breakdown(rows)).splitlines()
    assert head == "time per round, all nodes, rounds 20 to 20: 6.000 s; overhead in all but waiting: 40.0%"
    assert parts.split(", ")[0].strip() == "generate 2.000"
    assert "select" not in parts
    assert time_text(time_breakdown([])) == "no round was timed\n"


def test_durations_and_large_counts() -> None:
    times = {0.04: "0.0 s", 9.94: "9.9 s", 95.4: "95 s", 720: "12 min", 7200: "2.0 h", 172_800: "2.0 d"}
    assert {seconds: duration(seconds) for seconds in times} == times
    counts = {0: "0", 9999: "9999", 10_000: "10k", 9_999_499: "9999k", 9_999_500: "10M", 5 * 10**10: "50G"}
    assert {number: large(number) for number in counts} == counts


SPREAD = {Setting("tiny", "C5", 8, 100, 4, 4, 8): (200.0, 214.0, 240.0)}


def seed_results(*overrides: str) -> str:
    config = load_config(overrides=overrides)
    return seed_results_text(config.preset, config.policy, config.nodes, sizes_of(config), SPREAD)


def test_the_spread_of_the_very_setting_is_told_with_the_seed_and_of_another_none() -> None:
    text = seed_results("seed=3")
    assert text == "seed 3; 3 seeds of this setting gave a cumulative reward of 200.0 to 240.0 (mean 218.0)"
    for change in ("rounds=50", "completions=4", "local=5", "policy.start=C0", "policy.model=some/model"):
        assert seed_results(change) == "seed 0; how far other seeds differ was not measured for this setting"
