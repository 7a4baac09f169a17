"""Requests in the folder: each done once, and answered in the state log."""

from pathlib import Path

import msgspec
import pytest
from played_for_tests import Played

from actors.coordinator.control import Action, reply_to
from drive_store import write_request
from swarm_ray.records.state import ControlRequest


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    monkeypatch.setenv("SWARM_RAY_STATE", str(tmp_path / "state"))
    return Played.begun(tmp_path, "node-1", lock=True, rounds=9)


def ask(played: Played, action: Action) -> str:
    request = msgspec.json.encode(ControlRequest(action, "2026-08-01T12:00:00+00:00"))
    return write_request(played.folder.address.open(), request)


def replies(played: Played) -> dict[str, str]:
    found: dict[str, str] = {}
    for record in played.records:
        assert found.keys().isdisjoint(record.replies)
        found |= record.replies
    return found


def test_a_pause_lets_the_open_stage_close_and_opens_nothing(played: Played) -> None:
    asked = ask(played, "pause")
    played.tick()
    assert played.last.opens is not None
    played.play("node-1", rounds=range(1))
    assert (played.last.state, played.last.opens) == ("paused", None)
    assert (played.closed.round, played.last.replies) == (0, {asked: "paused"})
    played.tick(100)
    assert played.last.state == "paused"
    again = ask(played, "resume")
    played.tick()
    assert (played.last.state, played.last.replies) == ("running", {again: "resumes"})
    assert played.coordinator.get_round_and_stage() == (1, 0)


def test_a_stop_ends_the_experiment(played: Played) -> None:
    asked = ask(played, "stop")
    played.tick()
    assert (played.last.state, played.last.replies) == ("stopped", {asked: "stopped"})


def test_what_is_so_already_is_said(played: Played) -> None:
    first = ask(played, "pause")
    played.play("node-1", rounds=range(1))
    second = ask(played, "pause")
    played.tick()
    assert replies(played) == {first: "paused", second: "nothing to do: it is paused"}


def test_a_request_that_cannot_be_read_is_answered_too(played: Played) -> None:
    folder = played.folder
    junk = write_request(folder.address.open(), b'{"action": "explode"}')
    (folder.root / folder.paths.requests_folder / "0000beef.json").write_bytes(b"noise")
    played.tick()
    played.play("node-1", rounds=range(1))
    found = replies(played)
    assert set(found) == {junk, "0000beef"}
    assert all("cannot be read" in reply for reply in found.values())


def test_answered_requests_are_not_done_again_by_a_successor(played: Played) -> None:
    asked = ask(played, "stop")
    folder = played.folder
    path = folder.root / folder.paths.request(asked)
    kept = path.read_bytes()
    played.tick()
    assert not path.exists()
    path.write_bytes(kept)  # as if the coordinator had died before it removed it
    played.succeed(lock=True)
    played.tick()
    played.play("node-1", rounds=range(1))
    assert played.last.state == "running"
    assert replies(played) == {asked: "stopped"}
    assert not path.exists()


@pytest.mark.parametrize(
    ("action", "paused", "over", "reply"),
    [
        ("stop", False, True, "stopped"),
        ("pause", False, False, "paused"),
        ("pause", True, False, "nothing to do: it is paused"),
        ("pause", False, True, "nothing to do: the last round has closed"),
        ("resume", True, False, "resumes"),
        ("resume", False, False, "nothing to do: it is not paused"),
    ],
)
def test_what_a_request_comes_to(action: Action, paused: bool, over: bool, reply: str) -> None:
    assert reply_to(action, paused=paused, over=over) == reply


def test_the_reply_to_what_cannot_be_read_says_why(played: Played) -> None:
    asked = write_request(played.folder.address.open(), b'{"action": "explode"}')
    played.play("node-1", rounds=range(1))
    assert "cannot be read" in replies(played)[asked]
    assert "explode" in replies(played)[asked]
