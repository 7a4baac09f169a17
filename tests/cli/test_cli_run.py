"""The commands that run swarms: what they hand to the learning side, and what they say of how it ended.

The learning side is replaced by one that notes what it was called with, so that every way a run may end can be had
without actors; folders, figures and pictures are real.
"""

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from experiments_for_tests import finished

from drive_store import StoreDenied, StoreFull
from swarm_ray.cli import main
from swarm_ray.config.load import load_config
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.errors import ActorFailure, ExperimentExistsError
from swarm_ray.experiments import Comparison, compare_experiments


@dataclass
class Ended:
    """How a run ended."""

    root: str
    experiments: tuple[str, ...] = ()
    exit_code: int = 0
    message: str = "all is done"

    def results(self, problems: list[str] | None = None) -> list[Comparison]:
        return compare_experiments(self.root, self.experiments)


@dataclass
class Learning:
    """Notes calls; ends as it was told to."""

    ending: Callable[[], Ended]
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def called(self, name: str) -> Callable[..., Ended]:
        def call(*arguments: Any, **options: Any) -> Ended:
            self.calls.append((name, arguments, options))
            return self.ending()

        return call

    @property
    def config(self) -> SwarmConfig:
        found = self.calls[0][1][0]
        assert isinstance(found, SwarmConfig)
        return found


@pytest.fixture
def learning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Learning:
    noted = Learning(lambda: Ended(str(tmp_path)))
    module = types.ModuleType("swarm_ray.swarm")
    for name in ("simulate", "coordinate", "work"):
        setattr(module, name, noted.called(name))
    monkeypatch.setitem(sys.modules, "swarm_ray.swarm", module)
    return noted


@pytest.fixture
def ran(learning: Learning, tmp_path: Path) -> Ended:
    """A run with a baseline, whose folders are there."""
    finished(tmp_path, "swarm", load_config(overrides=["nodes=2", "rounds=12"]))
    alone = load_config(overrides=["nodes=2", "rounds=12", "local=8", "external=0"])
    finished(tmp_path, "swarm-alone", alone, rising=0.005)
    ended = Ended(str(tmp_path), ("swarm", "swarm-alone"))
    learning.ending = lambda: ended
    return ended


def test_flags_win_over_presets_and_set_their_keys(learning: Learning, ran: Ended) -> None:
    flags = "--preset paper --nodes 3 --rounds 5 --local 2 --external 6 --completions 4 --trainers 2 --seed 9"
    words = [*flags.split(), "--model", "some/Model: x", "--root", "there", "--experiment", "mine"]
    assert main(["simulate", "grpo.learning_rate=1e-5", *words, "pace.max_s=7", "--baseline"]) == 0
    ((name, arguments, options),) = learning.calls
    assert (name, arguments[1:]) == ("simulate", ("there", "mine"))
    assert options == {"baseline": True, "overwrite": False, "show": True, "dashboard": False}
    config = learning.config
    assert (config.preset, config.nodes, config.rounds, config.local) == ("paper", 3, 5, 2)
    assert (config.external, config.completions, config.trainers, config.seed) == (6, 4, 2, 9)
    assert config.policy.model == "some/Model: x"
    assert (config.grpo.learning_rate, config.pace.max_s) == (1e-5, 7.0)


def test_the_shortest_command_simulates_the_defaults(learning: Learning, ran: Ended) -> None:
    assert main(["simulate"]) == 0
    ((_, arguments, options),) = learning.calls
    assert arguments == (load_config(), "runs", None)
    assert options == {"baseline": False, "overwrite": False, "show": True, "dashboard": False}
    learning.calls.clear()
    assert main(["simulate", "--rounds", "5", "rounds=5", "--model", "tiny", "policy.model=tiny"]) == 0
    assert (learning.config.rounds, learning.config.policy.model) == (5, "tiny"), "a flag may repeat a key"


def test_the_report_has_figures_picture_and_message(ran: Ended, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--seed", "4"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert any(line.startswith("swarm ") and "4/4" in line for line in lines)
    assert any(line.startswith("swarm-alone ") and "1.00x" in line for line in lines)
    assert any(line.startswith("time per round, all nodes, rounds 10 to 11:") for line in lines)
    picture = Path(ran.root, "experiments", "swarm", "reward.png")
    assert f"picture: {picture}" in lines
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert any(line.startswith("seed 4; ") for line in lines[-3:-1])
    assert lines[-1] == "all is done"
    assert captured.err == ""


@pytest.mark.parametrize("code", [1, 3, 130])
def test_a_bad_end_is_on_standard_error(ran: Ended, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    ran.exit_code, ran.message = code, "swarm LEARNED\nNOTHING"
    assert main(["simulate"]) == code
    captured = capsys.readouterr()
    assert captured.err == "swarm-ray: swarm LEARNED NOTHING\n"
    assert "picture: " in captured.out


def test_a_report_that_fails_hides_no_ending(ran: Ended, capsys: pytest.CaptureFixture[str]) -> None:
    ran.experiments, ran.exit_code = ("gone",), 3
    assert main(["simulate"]) == 3
    assert capsys.readouterr().err.splitlines()[0].startswith("swarm-ray: the report is not complete: no exp")
    ran.exit_code = 0
    assert main(["simulate"]) == 1


def test_coordinate_hands_on_what_it_expects(learning: Learning, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--root", "there", "--experiment", "mine", "--expect", "3", "--overwrite", "rounds=7"]
    assert main(["coordinate", *words]) == 0
    ((name, arguments, options),) = learning.calls
    assert (name, arguments[1:]) == ("coordinate", ("there", "mine"))
    assert options == {"overwrite": True, "show": True, "dashboard": False}
    assert (learning.config.pace.expect, learning.config.rounds) == (3, 7)
    assert capsys.readouterr().out == "all is done\n"


@pytest.mark.parametrize(
    ("words", "nodes", "overrides"),
    [
        ([], 1, {}),
        (["--nodes", "2", "--trainers", "2"], 2, {"trainers": 2}),
        (["policy.device=cpu", "nodes=3"], 3, {"policy": {"device": "cpu"}}),
    ],
)
def test_work_hands_on_its_node_and_overrides(
    learning: Learning, words: list[str], nodes: int, overrides: dict[str, object]
) -> None:
    assert main(["work", "--root", "there", "--experiment", "mine", "--node", "worker_1", *words]) == 0
    asked, shown = ("there", "mine", "worker_1", nodes, overrides), {"show": True, "dashboard": False}
    assert learning.calls == [("work", asked, shown)]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ExperimentExistsError("experiment 'x' exists"), 2),
        (StoreDenied("the folder is read-only"), 2),
        (StoreFull("no space is left"), 1),
        (ActorFailure("trainer-0 died"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_is_one_line_and_no_traceback(
    learning: Learning, error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> Ended:
        raise error

    learning.ending = fail
    assert main(["simulate"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"swarm-ray: {str(error) or 'interrupted'}\n"
