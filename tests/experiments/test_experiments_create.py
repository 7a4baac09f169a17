"""Experiments that are made first and run later, and the configuration that holds."""

from __future__ import annotations

import zipfile
from pathlib import Path

import msgspec
import pytest
from experiments_for_tests import FakeExperiment

import swarm_ray
from drive_store import Store
from swarm_ray.config.load import config_hash, extend_config, load_config
from swarm_ray.errors import ConfigError, ExperimentExistsError, UserError
from swarm_ray.experiments import (
    compare_experiments,
    experiment_status,
    get_experiment_status,
    list_experiments,
)
from swarm_ray.experiments.folder import ExperimentAddress, read_identity, store_config
from swarm_ray.experiments.manage.rename import rename_experiment
from swarm_ray.experiments.open import config_for, open_or_create
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.records.nodes import Beat, NodeTotals


def test_an_experiment_is_made_and_gone_on_with(tmp_path: Path) -> None:
    root = str(tmp_path / "not there yet")
    config = swarm_ray.init_experiment(root, "mine", preset="tiny", overrides=["rounds=7", "seed=3"])
    assert (config.preset, config.rounds, config.seed) == ("tiny", 7, 3)
    (listed,) = list_experiments(root)
    assert (listed.name, listed.state, listed.rounds, listed.seed) == ("mine", "waiting", 7, 3)
    assert get_experiment_status(root, "mine").note == "its coordinator has not begun"
    again = config_for(root, "mine", None, None, ["rounds=9"], overwrite=False)
    opened = open_or_create(ExperimentAddress(root, "mine"), again, overwrite=False)
    assert (opened.record, opened.config.rounds, opened.config.seed) == (None, 9, 3)


def test_a_name_that_is_taken_is_refused_unless_it_is_to_be_overwritten(tmp_path: Path) -> None:
    root = str(tmp_path)
    swarm_ray.init_experiment(root, "mine", overrides=["seed=3"])
    with pytest.raises(ExperimentExistsError, match="--overwrite"):
        swarm_ray.init_experiment(root, "mine")
    swarm_ray.init_experiment(root, "mine", overrides=["seed=4"], overwrite=True)
    assert list_experiments(root)[0].seed == 4
    with pytest.raises(ConfigError, match="did you mean"):
        swarm_ray.init_experiment(root, "other", overrides=["rond=3"])
    with pytest.raises(UserError, match="cannot name an experiment"):
        swarm_ray.init_experiment(root, "../other")
    assert [s.name for s in list_experiments(root)] == ["mine"]


def test_one_without_sizes_in_its_identity_is_listed_as_before(tmp_path: Path) -> None:
    swarm_ray.init_experiment(str(tmp_path), "old", overrides=["local=5", "external=3"])
    address = ExperimentAddress(str(tmp_path), "old")
    identity = read_identity(Store(str(tmp_path)), address)
    assert identity is not None
    assert identity.sizes is not None
    bare = msgspec.to_builtins(identity)
    del bare["sizes"]
    (tmp_path / address.paths.experiment_json).write_bytes(msgspec.json.encode(bare))
    (listed,) = list_experiments(str(tmp_path))
    assert (listed.local, listed.external, listed.rounds, listed.problem) == (5, 3, 100, None)


def test_the_configuration_in_force_counts(tmp_path: Path) -> None:
    """What a coordinator changed while the experiment went on is in a file that the newest record names."""
    config = load_config(overrides=["nodes=2", "rounds=4", "pace.dead_after_s=10"])
    experiment = FakeExperiment(tmp_path, "mine", config)
    experiment.register("node-0")
    experiment.beat("node-0", Beat(1, 0, 1, "generate", NodeTotals()))
    experiment.close(0, {"node-0": 0.5})
    experiment.age(60)
    assert "silent for 60 s" in str(experiment_status(str(tmp_path), "mine").nodes[0].problem)
    changed = extend_config(config, ["rounds=9", "pace.dead_after_s=1000"])
    store_config(experiment.store, experiment.address, changed)
    experiment.in_force, experiment.config = config_hash(changed), changed
    experiment.close(1, {"node-0": 0.5})
    experiment.age(60)
    status = experiment_status(str(tmp_path), "mine")
    assert [node.problem for node in status.nodes] == [None]
    assert status.rounds == list_experiments(str(tmp_path))[0].rounds == 9
    assert open_experiment(str(tmp_path), "mine").config_in_force() == changed
    (tmp_path / experiment.paths.config(config_hash(changed))).unlink()
    with pytest.raises(ConfigError, match="missing or was altered"):
        compare_experiments(str(tmp_path), ["mine"])


def test_a_hash_that_is_none_builds_no_path(tmp_path: Path) -> None:
    experiment = FakeExperiment(tmp_path, "mine", load_config(overrides=["nodes=2"]))
    experiment.register("node-0")
    experiment.in_force = "../../secret"
    experiment.append("running")
    assert experiment_status(str(tmp_path), "mine").state == "running"


def test_one_that_has_not_begun_keeps_its_folders(tmp_path: Path) -> None:
    """Nodes count on those that the coordinator made."""
    root = tmp_path / "root"
    swarm_ray.init_experiment(str(root), "mine")
    folders = {path.name for path in (root / "experiments" / "mine").iterdir()}
    swarm_ray.archive_experiment(str(root), "mine", tmp_path / "mine.zip")
    with zipfile.ZipFile(tmp_path / "mine.zip") as archive:
        archive.extractall(tmp_path / "experiments")
    rename_experiment(str(root), "mine", "yours")
    for kept in (tmp_path / "experiments" / "mine", root / "experiments" / "yours"):
        assert {path.name for path in kept.iterdir()} == folders
