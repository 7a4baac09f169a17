"""Which experiment a run means: a new one, the one that is there, or one that is made anew."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from swarm_for_tests import small_config

from drive_store import StateLogWriter, Store, write_coordinator_beat
from swarm_ray.config.load import config_hash
from swarm_ray.errors import ConfigError, UserError
from swarm_ray.experiments.folder import ExperimentAddress, local_folder, read_identity
from swarm_ray.experiments.open import config_for, config_in_force, open_or_create
from swarm_ray.records.state import StateRecord

CLAIMANT = "coordinator.0a0b0c0d"


@pytest.fixture
def address(tmp_path: Path) -> ExperimentAddress:
    return ExperimentAddress(str(tmp_path / "My Drive"), "small")


def write_record(address: ExperimentAddress, state: str, rounds: int, in_force: str = "") -> None:
    """The newest record of a log with this one record."""
    log = StateLogWriter(address.open(), 1, CLAIMANT)
    record = StateRecord(state, rounds, None, None, {}, config_hash=in_force)
    log.append(msgspec.json.encode(record), round=0, stage=0)


def test_the_second_time_it_goes_on(address: ExperimentAddress) -> None:
    first = open_or_create(address, small_config(), overwrite=False)
    made = read_identity(Store(address.root), address)
    again = open_or_create(address, small_config(), overwrite=False)
    assert (first.record, again.record, first.config) == (None, None, again.config)
    assert read_identity(Store(address.root), address) == made


def test_a_finished_one_is_over_until_it_gets_more_rounds(address: ExperimentAddress) -> None:
    open_or_create(address, small_config(rounds=3), overwrite=False)
    write_record(address, "finished", 3)
    assert open_or_create(address, small_config(rounds=3), overwrite=False).over
    longer = open_or_create(address, small_config(rounds=5), overwrite=False)
    assert not longer.over
    stored = Path(address.root, address.paths.config(config_hash(longer.config)))
    assert "rounds: 5" in stored.read_text()


@pytest.mark.parametrize("state", ["stopped", "failed", "running", "waiting"])
def test_one_that_did_not_finish_goes_on(address: ExperimentAddress, state: str) -> None:
    open_or_create(address, small_config(), overwrite=False)
    write_record(address, state, 3)
    assert not open_or_create(address, small_config(), overwrite=False).over


def test_what_is_fixed_stays(address: ExperimentAddress) -> None:
    open_or_create(address, small_config(), overwrite=False)
    with pytest.raises(ConfigError, match=r"seed: 7 here, 0 there.*fixed"):
        open_or_create(address, small_config(seed=7), overwrite=False)


def test_the_configuration_in_force_is_the_one_that_the_log_names(address: ExperimentAddress) -> None:
    open_or_create(address, small_config(rounds=3), overwrite=False)
    longer = open_or_create(address, small_config(rounds=5), overwrite=False).config
    store = Store(address.root)
    assert config_in_force(store, address).rounds == 3
    write_record(address, "running", 5, config_hash(longer))
    assert config_in_force(store, address).rounds == 5
    asked = config_for(address.root, "small", None, None, ["pace.max_s=9"], overwrite=False)
    assert (asked.rounds, asked.pace.max_s, asked.tasks.modules) == (5, 9, ("swarm_tasks_for_tests",))


def test_a_new_one_is_what_the_preset_says(address: ExperimentAddress) -> None:
    assert config_for(address.root, "small", None, None, ["rounds=7"], overwrite=False).rounds == 7
    assert config_for(address.root, None, "tiny", None, [], overwrite=False).rounds == 100


def test_it_is_not_overwritten_while_it_runs(address: ExperimentAddress) -> None:
    open_or_create(address, small_config(), overwrite=False)
    write_record(address, "running", 3)
    write_coordinator_beat(address.open(), CLAIMANT, 0, b"{}")
    with pytest.raises(UserError, match=r"running.*swarm-ray stop"):
        open_or_create(address, small_config(), overwrite=True)
    write_record_of_another_end(address)
    open_or_create(address, small_config(seed=7), overwrite=True)
    assert config_in_force(Store(address.root), address).seed == 7


def write_record_of_another_end(address: ExperimentAddress) -> None:
    found = StateLogWriter(address.open(), 2, CLAIMANT)
    record = StateRecord("stopped", 3, None, None, {})
    found.append(msgspec.json.encode(record), round=0, stage=0)


def test_one_that_is_made_anew_finds_nothing_of_the_old_one_on_this_machine(
    address: ExperimentAddress,
) -> None:
    open_or_create(address, small_config(), overwrite=False)
    before = local_folder(address)
    (before / "checkpoints").mkdir(parents=True)
    open_or_create(address, small_config(), overwrite=True)
    assert not before.exists()
    assert local_folder(address) != before


def test_parts_to_resume_are_never_stored(address: ExperimentAddress) -> None:
    open_or_create(address, small_config(resume="weights"), overwrite=False)
    assert config_in_force(Store(address.root), address).resume == "all"
