"""Which experiment a run means: a new one, the one that is there, or one that is made anew."""

import zipfile
from pathlib import Path

import msgspec
import pytest
from experiments_for_tests import FakeExperiment
from swarm_for_tests import small_config

import swarm_ray
from drive_store import StateLogWriter, Store, write_coordinator_beat
from swarm_ray.config.load import config_hash, extend_config, load_config
from swarm_ray.errors import ConfigError, UserError
from swarm_ray.experiments import compare_experiments, experiment_status, list_experiments
from swarm_ray.experiments.folder import ExperimentAddress, local_folder, read_identity, store_config
from swarm_ray.experiments.manage.rename import rename_experiment
from swarm_ray.experiments.open import config_for, config_in_force, open_or_create
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.records.nodes import Beat, NodeTotals
from swarm_ray.records.state import StateRecord

CLAIMANT = "coordinator.0a0b0c0d"


@pytest.fixture
def address(tmp_path: Path) -> ExperimentAddress:
    return ExperimentAddress(str(tmp_path / "My Drive"), "small")


def append(address: ExperimentAddress, state: str, rounds: int, in_force: str = "", epoch: int = 1) -> None:
    """The newest record of a log with this one record of each epoch."""
    log = StateLogWriter(address.open(), epoch, CLAIMANT)
    record = StateRecord(state, rounds, None, None, {}, config_hash=in_force)
    log.append(msgspec.json.encode(record), round=0, stage=0)


def test_the_second_time_it_goes_on(address: ExperimentAddress) -> None:
    first = open_or_create(address, small_config(), overwrite=False)
    made = read_identity(Store(address.root), address)
    again = open_or_create(address, small_config(), overwrite=False)
    assert (first.record, again.record, first.config) == (None, None, again.config)
    assert read_identity(Store(address.root), address) == made
    with pytest.raises(ConfigError, match=r"seed: 7 here, 0 there.*fixed"):
        open_or_create(address, small_config(seed=7), overwrite=False)


def test_a_finished_one_is_over_until_it_gets_more_rounds(address: ExperimentAddress) -> None:
    open_or_create(address, small_config(rounds=3), overwrite=False)
    append(address, "finished", 3)
    assert open_or_create(address, small_config(rounds=3), overwrite=False).over
    longer = open_or_create(address, small_config(rounds=5), overwrite=False)
    assert not longer.over
    stored = Path(address.root, address.paths.config(config_hash(longer.config)))
    assert "rounds: 5" in stored.read_text()


@pytest.mark.parametrize("state", ["stopped", "failed", "running", "waiting"])
def test_one_that_did_not_finish_goes_on(address: ExperimentAddress, state: str) -> None:
    open_or_create(address, small_config(), overwrite=False)
    append(address, state, 3)
    assert not open_or_create(address, small_config(), overwrite=False).over


def test_the_configuration_in_force_is_the_one_that_the_log_names(address: ExperimentAddress) -> None:
    open_or_create(address, small_config(rounds=3), overwrite=False)
    longer = open_or_create(address, small_config(rounds=5), overwrite=False).config
    store = Store(address.root)
    assert config_in_force(store, address).rounds == 3
    append(address, "running", 5, config_hash(longer))
    assert config_in_force(store, address).rounds == 5
    asked = config_for(address.root, "small", None, None, ["pace.max_s=9"], overwrite=False)
    assert (asked.rounds, asked.pace.max_s, asked.tasks.modules) == (5, 9, ("swarm_tasks_for_tests",))
    assert config_for(address.root, "new", None, None, ["rounds=7"], overwrite=False).rounds == 7
    assert config_for(address.root, None, "tiny", None, [], overwrite=False).rounds == 100


def test_it_is_not_overwritten_while_it_runs(address: ExperimentAddress) -> None:
    open_or_create(address, small_config(), overwrite=False)
    append(address, "running", 3)
    write_coordinator_beat(address.open(), CLAIMANT, 0, b"{}")
    with pytest.raises(UserError, match=r"running.*swarm-ray stop"):
        open_or_create(address, small_config(), overwrite=True)
    append(address, "stopped", 3, epoch=2)
    open_or_create(address, small_config(seed=7, resume="weights"), overwrite=True)
    stored = config_in_force(Store(address.root), address)
    assert (stored.seed, stored.resume) == (7, "all"), "which parts to resume is never stored"


def test_one_that_is_made_anew_finds_nothing_of_the_old_one_here(address: ExperimentAddress) -> None:
    open_or_create(address, small_config(), overwrite=False)
    before = local_folder(address)
    (before / "checkpoints").mkdir(parents=True)
    open_or_create(address, small_config(), overwrite=True)
    assert not before.exists()
    assert local_folder(address) != before


def test_an_experiment_is_made_and_gone_on_with(tmp_path: Path) -> None:
    root = str(tmp_path / "not there yet")
    config = swarm_ray.init_experiment(root, "mine", preset="tiny", overrides=["rounds=7", "seed=3"])
    assert (config.preset, config.rounds, config.seed) == ("tiny", 7, 3)
    (listed,) = list_experiments(root)
    assert (listed.name, listed.state, listed.rounds, listed.seed) == ("mine", "waiting", 7, 3)
    assert swarm_ray.get_experiment_status(root, "mine").note == "its coordinator has not begun"
    again = config_for(root, "mine", None, None, ["rounds=9"], overwrite=False)
    opened = open_or_create(ExperimentAddress(root, "mine"), again, overwrite=False)
    assert (opened.record, opened.config.rounds, opened.config.seed) == (None, 9, 3)


def test_one_without_sizes_in_its_identity_is_listed_as_before(tmp_path: Path) -> None:
    swarm_ray.init_experiment(str(tmp_path), "old", overrides=["local=5", "external=3"])
    address = ExperimentAddress(str(tmp_path), "old")
    stored = tmp_path / address.paths.experiment_json
    bare = msgspec.json.decode(stored.read_bytes())
    assert bare.pop("sizes")
    stored.write_bytes(msgspec.json.encode(bare))
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
