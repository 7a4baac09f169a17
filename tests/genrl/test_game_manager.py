"""The game manager: failures name their place, a bad peer costs only its payload, a game resumes where it was."""

import pickle
from typing import Any
from unittest.mock import Mock, call

import pytest
import torch
from games_for_tests import (
    Hub,
    MemoryGather,
    Rows,
    math_manager,
    moved,
    play,
    qwen_trainer,
    rgym_data,
    rgym_manager,
    shared,
    weights,
)
from genrl.communication import Payload
from genrl.communication.local.null_comm import NullCommunicationBackend
from genrl.state import WorldState

from swarm_ray.errors import MalformedFile, NodeFailure, StopRequested
from swarm_ray.genrl.manager import FAILURES_TOLERATED, SwarmGameManager
from swarm_ray.genrl.recorder import GameError, GameRecorder, step_metrics
from swarm_ray.genrl.rgym import GymDataManager
from swarm_ray.genrl.wire import WireError
from swarm_ray.sapo.phases import PHASES


class Alone(NullCommunicationBackend):
    """Nobody else is there; as hivemind's back end it has a step and no stage."""

    def __init__(self, says: Any = None) -> None:
        super().__init__()
        self.says, self.step_ = says, -1
        self.steps: list[int] = []

    def all_gather_object(self, obj: Any, *args: Any, **kwargs: Any) -> Any:
        self.steps.append(self.step_)
        if isinstance(self.says, BaseException):
            raise self.says
        return {0: obj} if self.says is None else self.says | {0: obj}


def raising(error: BaseException) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


@pytest.fixture
def game(verifier):
    """Makes the reasoning-gym game of one node, with rows."""

    def make(says: Any = None, **more: Any) -> tuple[SwarmGameManager, Rows]:
        rows = Rows(more.pop("first", 0))
        return rgym_manager(Alone(says), verifier, recorder=rows, **more), rows

    return make


@pytest.fixture
def data(verifier):
    return rgym_data(verifier)


@pytest.mark.parametrize(
    ("part", "name", "doing"),
    [
        ("trainer", "generate", "generating"),
        ("rewards", "update_rewards", "rewarding"),
        ("data_manager", "prepare_states", "preparing the next stage"),
        ("trainer", "train", "training"),
        ("data_manager", "get_round_data", "drawing the first round"),
    ],
)
def test_what_breaks_in_the_game_is_raised_with_its_place(game, part, name, doing):
    manager, rows = game()
    setattr(getattr(manager, part), name, raising(ValueError("it\nbroke")))
    with pytest.raises(GameError) as failed:
        manager.run_game()
    error = failed.value
    assert (error.round, error.stage, error.doing) == (0, int(doing in {"rewarding", "training"}), doing)
    assert "ValueError: it broke (test_game_manager.py, line " in str(error)
    assert isinstance(error.__cause__, ValueError)
    assert rows.errors == [error]
    assert rows.said in ([], ["restored"])
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_evaluation_is_asked_for_and_its_errors_too(verifier):
    rows = Rows()
    manager = rgym_manager(Alone(), verifier, recorder=rows, run_mode="evaluate")
    before = weights(manager.trainer)
    manager.run_game()
    assert not moved(before, manager.trainer)
    manager = rgym_manager(Alone(), verifier, run_mode="train_and_evaluate")
    manager.trainer.evaluate = raising(KeyError("x"))
    with pytest.raises(GameError, match="while evaluating: KeyError"):
        manager.run_game()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), StopRequested("stop")])
def test_interrupts_pass_and_are_no_failure(game, error):
    for part in ("train", "generate"):
        manager, rows = game()
        setattr(manager.trainer, part, raising(error))
        with pytest.raises(type(error)):
            manager.run_game()
        assert rows.errors == []
        assert rows.said == ["restored"]


def test_data_that_fail_are_borne_for_a_while(game):
    manager, rows = game(rounds=9)
    manager.trainer.train = raising(NodeFailure("the loss is not finite"))
    with pytest.raises(NodeFailure):
        manager.run_game()
    assert len(rows.rows) == FAILURES_TOLERATED - 1
    assert all(not row.trained and "no step was taken: the loss" in row.problems[0] for row in rows.rows)
    manager, rows = game(rounds=9)
    fails = [NodeFailure("the loss is not finite")] * (FAILURES_TOLERATED - 1)
    manager.trainer.train = Mock(side_effect=[*fails, None] * 3)
    manager.run_game()
    assert len(rows.rows) == 9


@pytest.mark.parametrize(
    "error", [RuntimeError("no values"), EOFError(), OSError("away"), MalformedFile("torn")]
)
def test_an_exchange_that_fails_is_told_and_the_round_is_played_alone(game, error):
    manager, rows = game(error, rounds=2)
    manager.run_game()
    for row in rows.rows:
        assert row.counters.rejected == {"the exchange failed": 1}
        assert f"stage 0: the exchange failed: {type(error).__name__}" in row.problems[0]
        assert row.problems[-1] == "no external rollout was used: none was offered"
        assert row.external == 0
    assert rows.said == ["restored", "ended"]


WORLD = WorldState({"question": "?"}, None, None)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (None, "a NoneType instead of a payload"),
        ([1], "a list instead of a payload"),
        ({"q": []}, "a batch item without a list of payloads"),
        ({"q": Payload(WORLD, ["1"])}, "a batch item without a list of payloads"),
        ({"q": [{"actions": ["1"]}]}, "a batch item that is not a payload of GenRL"),
        ({"q": [Payload({"a": 1}, ["1"])]}, "a batch item that is not a payload of GenRL"),
    ],
)
def test_a_payload_of_another_form_is_dropped(game, data, payload, reason):
    manager, rows = game({"bad": payload, "good": shared(data, ["right", "no"])})
    manager.run_game()
    (row,) = rows.rows
    assert row.counters.rejected == {reason: 1}
    assert row.problems == (f"stage 0: the payload of bad was dropped: {reason}",)
    assert row.counters.used_from == {"good": 1}


def test_a_payload_that_breaks_the_games_own_code_is_dropped_alone(game, data):
    """The others' are used, counted once, and the own trees are as they were."""
    swarm = {peer: shared(data, ["right", "no"]) for peer in ("a", "bad", "c")}
    swarm["worthless"] = shared(data, ["no", "no"])
    manager, rows = game(swarm)
    prepare = manager.data_manager.prepare_states

    def fragile(state: Any, payloads: Any) -> Any:
        states = prepare(state, payloads)
        if "bad" in payloads:
            raise LookupError("half done")
        return states

    manager.data_manager.prepare_states = fragile
    manager.run_game()
    (row,) = rows.rows
    assert row.counters.used_from == {"a": 1, "c": 1}
    assert (row.counters.offered, row.counters.zero_advantage_external) == (4, 1)
    assert [reason.split(" (")[0] for reason in row.counters.rejected] == ["LookupError: half done"]
    assert "the payload of bad was dropped: LookupError: half done" in row.problems[0]
    assert row.local == len(rows.questions[0])


def test_a_game_goes_on_with_the_questions_it_would_have_had(game, monkeypatch):
    manager, whole = game(rounds=5)
    manager.run_game()
    manager, rest = game(rounds=5, first=3)
    manager.run_game()
    assert [row.round for row in rest.rows] == [3, 4]
    assert rest.questions == whole.questions[3:]
    monkeypatch.delattr(GymDataManager, "skip_rounds")  # GenRL's own data managers can only draw
    manager, again = game(rounds=5, first=3)
    manager.run_game()
    assert again.questions == whole.questions[3:]
    manager, none = game(rounds=5, first=5)
    manager.run_game()
    assert (none.rows, none.said) == ([], ["restored", "ended"])


def test_what_cannot_travel_ends_the_game_with_its_place(verifier):
    hub, rows = Hub(1), Rows()
    manager = rgym_manager(MemoryGather("n0", hub), verifier, recorder=rows)
    generate = manager.trainer.generate
    manager.trainer.generate = lambda inputs: [[*texts, {1}] for texts in generate(inputs)]
    with pytest.raises(WireError, match=r"\[0\]\.actions\[8\] is a set"):
        play([manager], hub)
    assert len(rows.errors) == 1


def test_a_coordinator_hears_rewards_and_winners(verifier):
    hub, told, rows = Hub(2), [Mock(), Mock()], [Rows(), Rows()]
    managers = [
        rgym_manager(
            MemoryGather(f"n{i}", hub), verifier, seed=i, rounds=2, coordinator=told[i], recorder=rows[i]
        )
        for i in range(2)
    ]
    play(managers, hub)
    for i in range(2):
        expected = [call.register_peer(f"n{i}")]
        for row in rows[i].rows:
            expected.append(call.submit_reward(row.round, 0, row.reward, f"n{i}"))
            expected.append(call.submit_winners(row.round, [f"n{1 - i}"], f"n{i}"))
        assert told[i].mock_calls == expected


def test_a_back_end_without_stages_gets_a_step_for_each():
    communication, rows = Alone(), Rows()
    math_manager(communication, rounds=2, recorder=rows).run_game()
    assert communication.steps == [0, 1, 2, 3, 4, 5]
    assert [(row.local, row.external) for row in rows.rows] == [(6, 0)] * 2
    assert "no external rollout was used: none was offered" in rows.rows[0].problems


def test_a_row_becomes_one_of_a_nodes_metrics(game):
    manager, rows = game()
    manager.run_game()
    (row,) = rows.rows
    assert set(row.seconds) == set(PHASES)
    metrics = step_metrics(row, "n0", "abc", step=7)
    assert (metrics.node, metrics.incarnation, metrics.round, metrics.step) == ("n0", "abc", 0, 7)
    assert metrics.counters.used == metrics.external == 0
    assert metrics.reward_by_specialty == row.reward_by_specialty
    assert metrics.counters.generated_tokens == row.counters.generated_tokens > 0
    assert step_metrics(row, "n0", "abc").step == 0


def test_without_a_recorder_the_game_logs(game, verifier, caplog):
    manager = rgym_manager(Alone(), verifier)
    assert isinstance(manager.recorder, GameRecorder)
    with caplog.at_level("INFO", "swarm_ray.genrl"):
        manager.run_game()
    assert any("round 0: reward" in line and "0 external (0 offered)" in line for line in caplog.messages)
    assert "round 0: no external rollout was used: none was offered" in caplog.messages
    manager = rgym_manager(Alone(), verifier)
    manager.trainer.train = raising(ValueError("x"))
    with pytest.raises(GameError):
        manager.run_game()
    assert any("the game failed in round 0" in line for line in caplog.messages)


def test_genrls_own_trainer_learns_from_others_of_its_group_size_alone(data, verifier, tmp_path):
    swarm = {"two": shared(data, ["right", "no"]), "four": shared(data, ["right", "no"] * 2, 1)}
    trainer, rows = qwen_trainer(tmp_path, minibatch_size=100), Rows()
    before = weights(trainer)
    manager = rgym_manager(Alone(swarm), verifier, trainer=trainer, recorder=rows, rounds=2)
    manager.run_game()
    for row in rows.rows:
        assert row.counters.used_from == {"two": 1}
        assert row.counters.rejected == {"another number of completions than this node's 2": 1}
        assert row.trained
        assert row.loss is not None
    assert moved(before, trainer)


def test_genrls_own_trainer_that_has_nothing_to_learn_says_so(verifier, tmp_path):
    """All rewards are 0: it takes no step."""
    torch.manual_seed(0)  # GenRL samples with the global stream, and another one may be right by chance
    rows = Rows()
    trainer = qwen_trainer(tmp_path)
    before = weights(trainer)
    rgym_manager(Alone(), verifier, trainer=trainer, recorder=rows).run_game()
    (row,) = rows.rows
    assert (row.reward, row.trained, row.loss) == (0.0, False, None)
    assert not moved(before, trainer)
