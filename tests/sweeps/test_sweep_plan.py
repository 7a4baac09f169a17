"""From the file of a sweep to its runs: every combination once, names that stay, and mistakes in one line."""

from pathlib import Path
from typing import Any

import pytest
from sweeps_for_tests import plan_of, write_sweep

from drive_store import valid_id
from swarm_ray.errors import ConfigError
from swarm_ray.sweeps.plan import read_plan

NO_GRID = ("grid", "baseline")


def test_every_point_has_every_seed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    ends = ["0p001-s0", "0p001-s1", "0p001-s2", "0p0001-s0"]
    names = [f"splits-local8-external0-learning_rate{end}" for end in ends]
    assert [run.experiment for run in plan.runs[:4]] == names
    configs = [run.config for run in plan.runs]
    found = [(c.local, c.external, c.grpo.learning_rate, c.seed) for c in configs]
    assert found == [(*pair, rate, s) for pair in ((8, 0), (4, 4)) for rate in (1e-3, 1e-4) for s in range(3)]
    assert {(r.config.nodes, r.config.rounds, r.config.pace.expect) for r in plan.runs} == {(2, 10, 2)}
    assert plan.baseline == plan.points[0]
    assert plan.points[0].label == "local=8, external=0, learning_rate=0.001"


def test_without_a_grid_there_is_one_point(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {}, *NO_GRID)
    assert [run.experiment for run in plan.runs] == ["splits-s0", "splits-s1", "splits-s2"]
    assert plan.baseline is None


def test_names_depend_on_nothing_but_the_run(tmp_path: Path) -> None:
    more = {"grid": {"local, external": [[2, 6], [4, 4], [8, 0]]}, "seeds": [7, 2]}
    less = {"grid": {"local, external": [[8, 0]]}, "seeds": [2], "set": {"nodes": 4}}
    names = {run.experiment for run in plan_of(tmp_path, more, "baseline").runs}
    assert {run.experiment for run in plan_of(tmp_path, less, "baseline").runs} <= names


@pytest.mark.parametrize(
    ("grid", "ends"),
    [
        ({"policy.model": ["Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0_5B"]}, None),
        ({"tasks.specialties": [["lcm"], ["gcd", "lcm"]]}, None),
        ({"grpo.max_grad_norm": [None, 0.5, 1e-07]}, ["normnull", "norm0p5", "norm1e-07"]),
        ({"tracking.tensorboard": [True], "policy.start": ["C5"]}, None),
        ({"policy.system_prompt": ["A" * 200, "A" * 201, "Wie geht's? \u00fc"]}, None),
        ({"pace.max_s": [10], "checkpoint.store_every_s": [600], "evaluation.questions": [3]}, None),
    ],
)
def test_any_value_makes_its_own_name(tmp_path: Path, grid: dict[str, Any], ends: list[str] | None) -> None:
    plan = plan_of(tmp_path, {"grid": grid, "seeds": [0, 123456789]}, "baseline")
    names = [run.experiment for run in plan.runs]
    assert len(set(names)) == len(names)
    assert all(valid_id(name) for name in names)
    if ends is not None:
        assert [run.point.slug.removeprefix("max_grad_") for run in plan.runs[::2]] == ends


def test_keys_that_end_alike_are_told_apart(tmp_path: Path) -> None:
    grid = {"evaluation.questions, hub.every, checkpoint.every": [[3, 4, 5]]}
    plan = plan_of(tmp_path, {"grid": grid}, "baseline")
    assert plan.points[0].label == "questions=3, hub.every=4, checkpoint.every=5"
    assert plan.points[0].slug == "questions3-hub_every4-checkpoint_every5"


def test_a_file_may_use_sections_and_dotted_keys(tmp_path: Path) -> None:
    settings = {"policy": {"start": "blank"}, "pace": {"max_s": 9}, "pace.beat_s": 1, "nodes": 2}
    config = plan_of(tmp_path, {"set": settings}).runs[0].config
    assert (config.policy.start, config.pace.max_s, config.pace.beat_s, config.nodes) == ("blank", 9, 1, 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"set": {"rouns": 3}}, "line 4: set: rouns: unknown key; did you mean rounds?"),
        ({"set": {"policy": {"strat": "C5"}}}, "line 5: set: policy.strat: unknown key; did you mean start?"),
        ({"grid": {"grpo.rate": [1]}}, "line 7: grid: grpo.rate: unknown key"),
        ({"set": {"rounds": 0}}, "line 4: rounds: 0 is not possible; it must be greater than 0 (grid point"),
        ({"grid": {"local": [4, "x"]}, "baseline": {"local": 4}}, "line 7: local: 'x' is not possible"),
        ({"set": {"nodes": 1}}, "external rollouts need a second node"),
        ({"preset": "tinny"}, "line 2: preset: none is called 'tinny'; did you mean tiny?"),
        ({"sed": 1}, "sed: unknown key; did you mean seeds?"),
        ({"name": "My sweep"}, "line 1: name: 'My sweep' cannot name a sweep"),
        ({"name": "a" * 33}, "at most 32"),
        ({"name": None}, "name: this key is missing"),
        ({"seeds": None}, "seeds: give a list of whole numbers"),
        ({"seeds": []}, "seeds: give a list of whole numbers"),
        ({"seeds": [0, -1]}, "seeds: -1 is not a seed"),
        ({"seeds": [0, True]}, "seeds: True is not a seed"),
        ({"seeds": [1, 0, 1]}, "seeds: 1 is given twice"),
        ({"set": {"seed": 3}}, "line 4: set: seed has its own key; write it under `seeds:`"),
        ({"grid": {"preset": ["tiny", "paper"]}}, "grid: preset has its own key"),
        ({"set": {"local": 3}}, "line 4: set: local is in the grid too"),
        ({"set": {"pace": {"max_s": 9}, "pace.max_s": 8}}, "pace.max_s is given twice"),
        ({"grid": {"local, external": [[8, 0]], "local": [4]}}, "grid: local is given twice"),
        ({"grid": {"local, external": [[8, 0], [8]]}}, "needs 2 values in each item, such as [local,"),
        ({"grid": {"local, external": [8, 0]}}, "needs 2 values in each item"),
        ({"grid": {"local": 4}}, "grid: local needs a list"),
        ({"grid": {"local": []}}, "grid: local needs a list"),
        ({"grid": [8, 0]}, "line 6: grid: give a mapping"),
        ({"set": [8, 0]}, "line 3: set: give a mapping"),
        ({"grid": {"local, external": [[8, 0], [8, 0]]}, "baseline": {}}, "are the same run; remove one"),
        ({"grid": {"completions": list(range(2, 402))}}, "line 6: grid: 1200 runs are more than 1000"),
        ({"baseline": {"local": 3}}, "local=3 names no grid point; name one of: local=8, external=0"),
        ({"baseline": {"local": 8}}, "baseline: local=8 names several grid points"),
        ({"baseline": {"local": True}}, "names no grid point"),
    ],
)
def test_a_mistake_is_one_line_naming_the_place(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = write_sweep(tmp_path, changes)
    with pytest.raises(ConfigError) as raised:
        read_plan(path)
    text = str(raised.value)
    assert text.startswith(str(path))
    assert said in text
    assert "\n" not in text


@pytest.mark.parametrize("place", ["set", "grid", "baseline"])
def test_a_secret_is_refused_and_not_shown(tmp_path: Path, place: str) -> None:
    secret = "hf_" + "a1B2" * 8
    value = [secret] if place == "grid" else secret
    with pytest.raises(ConfigError, match="looks like a secret") as raised:
        plan_of(tmp_path, {place: {"policy.system_prompt": value}})
    assert secret not in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read \(No such file or directory\)"):
        read_plan(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_plan(tmp_path)
    (tmp_path / "bad.yaml").write_text("name: x\nseeds: [1, 2\n")
    with pytest.raises(ConfigError, match=r"bad\.yaml, line 3: "):
        read_plan(tmp_path / "bad.yaml")
    (tmp_path / "alias.yaml").write_text("name: &a x\n")
    with pytest.raises(ConfigError, match=r"alias\.yaml, line 1: anchors"):
        read_plan(tmp_path / "alias.yaml")
