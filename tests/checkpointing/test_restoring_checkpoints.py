"""The newest whole checkpoint is found, wherever it is; what is damaged is said and passed over."""

from pathlib import Path

import pytest
from checkpoints_for_tests import (
    PATHS,
    A,
    B,
    Trial,
    assert_equal,
    everything,
    make_store,
    small_node,
    small_policy,
    state_of,
    train,
)

from drive_store import ExperimentStore, StoreUnavailable
from swarm_ray.checkpointing.restore import Found, apply, find_newest, node_checkpoints
from swarm_ray.errors import CheckpointError, CheckpointMismatch


def found_by(one: Trial, folder: Path | None = None, problems: list[str] | None = None) -> Found | None:
    told = problems if problems is not None else []
    return find_newest(folder or one.folder, one.experiment, "node-0", told)


def with_checkpoints(one: Trial, *, uploaded: int, local: int) -> None:
    node = small_node()
    for step in range(1, local + 1):
        train(node)
        one.round(node)
        if step == uploaded:
            one.flush(node)


def damage(folder: Path, name: str = "weights.safetensors") -> None:
    path = folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_nothing_is_nothing(tmp_path, store) -> None:
    problems: list[str] = []
    assert find_newest(tmp_path / "here", ExperimentStore(store, PATHS), "node-0", problems) is None
    assert problems == []


def test_a_damaged_newest_falls_back_to_the_one_before(trial) -> None:
    one, problems = trial(keep=3), []
    with_checkpoints(one, uploaded=0, local=3)
    own = node_checkpoints(one.folder, PATHS, "node-0")
    damage(own.folders()[0].path)
    found = found_by(one, problems=problems)
    assert found.state.step == 2
    assert len(problems) == 1
    assert "step_000003 is not used" in problems[0]
    assert [c.step for c in own.folders()] == [2, 1]  # a damaged one must not count as kept


def test_another_machine_finds_the_newest_upload(trial, tmp_path) -> None:
    one, problems = trial(), []
    with_checkpoints(one, uploaded=2, local=4)
    elsewhere = tmp_path / "elsewhere"
    found = found_by(one, elsewhere, problems)
    assert (found.state.step, found.origin, problems) == (2, "the folder", [])
    assert "step 2" in found.describe()
    again = found_by(one, elsewhere, problems)
    assert again.origin == "this machine"


def test_a_damaged_upload_falls_back_too(trial, tmp_path) -> None:
    one, problems = trial(), []
    with_checkpoints(one, uploaded=2, local=2)
    node = small_node(incarnation=B)
    train(node, 5)
    one.flush(node)
    damage(Path(one.store.root, PATHS.checkpoint("node-0", B, 5)), "optimizer.safetensors")
    found = found_by(one, tmp_path / "elsewhere", problems)
    assert (found.state.step, found.state.incarnation) == (2, A)
    assert len(problems) == 1
    assert f"step 5 by {B} is not used: its optimizer" in problems[0]


def test_the_later_of_disk_and_folder_wins(trial) -> None:
    one = trial()
    with_checkpoints(one, uploaded=1, local=2)
    here = found_by(one)
    assert (here.state.step, here.origin) == (2, "this machine")
    other, node = trial("another machine"), small_node(incarnation=B)
    train(node, 6)
    assert other.flush(node) == []
    there = found_by(one)
    assert (there.state.step, there.state.incarnation, there.origin) == (6, B, "the folder")


def test_a_folder_out_of_reach_is_no_reason_to_begin_with_less(trial, monkeypatch) -> None:
    """What cannot be looked at now may be the newest."""
    one = trial()
    with_checkpoints(one, uploaded=0, local=2)

    def gone(folder_key: str) -> list[str]:
        raise StoreUnavailable("unmounted")

    monkeypatch.setattr(one.store, "names", gone)
    with pytest.raises(StoreUnavailable, match="unmounted"):
        found_by(one)


def test_an_upload_without_optimizer_or_weights_alone_start_adam_afresh(trial, tmp_path) -> None:
    node = small_node()
    train(node)
    weights = sum(p.numel() * 4 for p in node.policy.model.parameters())
    one = trial(store_bytes=2 * weights)
    one.flush(node)
    found = found_by(one, tmp_path / "elsewhere")
    assert found.optimizer is None
    assert "without its optimizer" in found.describe()
    expected = {k: v for k, v in everything(node.policy).items() if k.startswith("model.")}
    for parts, model in (("all", found.state.model), ("weights", {"model": "another of the same shapes"})):
        fresh = small_policy(5)
        apply(found, fresh, parts, model)
        assert_equal(everything(fresh), expected)


def test_another_model_is_refused_and_the_policy_is_as_before(trial) -> None:
    one, node = trial(), small_node()
    train(node)
    one.flush(node)
    found = found_by(one)
    larger = small_policy(5, hidden=64)
    before = everything(larger)
    different = r"node node-0, step 1: .*is 101x32, and the model's is 101x64"
    with pytest.raises(CheckpointMismatch, match=different):
        apply(found, larger, "all", found.state.model)
    with pytest.raises(CheckpointMismatch, match="model is 'other' here and 'tiny' in the checkpoint"):
        apply(found, small_policy(5), "all", found.state.model | {"model": "other"})
    assert_equal(everything(larger), before)


def test_a_checkpoint_of_a_later_version_is_not_passed_over(trial) -> None:
    one, node = trial(), small_node()
    train(node)
    one.flush(node)
    train(node)
    one.checkpointer.flush([node], lambda n: state_of(n, schema=2), within_s=60.0, upload=False)
    with pytest.raises(CheckpointError, match=r"enum value 2 .*schema"):
        found_by(one)


def test_other_nodes_and_experiments_stay_apart(trial, tmp_path) -> None:
    one, node = trial(), small_node("node-1")
    train(node)
    one.flush(node)
    assert find_newest(one.folder, one.experiment, "node-0", []) is None
    other = ExperimentStore(make_store(tmp_path / "another root"), PATHS)
    assert find_newest(one.folder, other, "node-1", []) is not None
