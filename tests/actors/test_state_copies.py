"""Copies for people: readable, and rewritten without complaint."""

import json

import msgspec
from folder_for_tests import Folder, closed, opens

from actors.coordinator.epoch import write_copies
from swarm_ray.records.state import StateRecord


def read(folder: Folder, key: str) -> object:
    return json.loads((folder.root / key).read_text())


def test_the_current_state_says_who_is_in_the_open_round(folder: Folder) -> None:
    record = StateRecord("running", 9, None, opens(4, "node-1", "node-2"), {})
    write_copies(folder.address.open(), record)
    told = read(folder, folder.paths.current_state)
    assert isinstance(told, dict)
    assert told.pop("written_at") > "2026"
    assert told == {
        "state": "running",
        "round": 4,
        "stage": 0,
        "rounds": 9,
        "members": ["node-1", "node-2"],
        "note": "",
    }
    assert (folder.root / folder.paths.current_state).read_text().count("\n") > 5


def test_rewards_and_winners_of_the_round_that_closed_lie_in_a_file_each(folder: Folder) -> None:
    ended = msgspec.structs.replace(closed(501), rewards={"node-1": 0.25}, winners=("node-2",))
    for note in ("", "again"):
        write_copies(
            folder.address.open(), StateRecord("running", 999, ended, opens(502, "node-1"), {}, note)
        )
    assert read(folder, folder.paths.rewards(501)) == {"node-1": 0.25}
    assert read(folder, folder.paths.winners(501)) == ["node-2"]
    assert folder.paths.rewards(501).endswith("rewards/000001/r000501.json")
