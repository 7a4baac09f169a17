"""The maths game of three stages on local questions, with GenRL's own rewards."""

import pytest
from games_for_tests import OPENINGS, Hub, MemoryGather, Rows, math_manager, moved, play, tiny_policy, weights
from genrl.communication import Payload

from swarm_ray.errors import ConfigError
from swarm_ray.genrl.counting import RoundCounts, best_peer
from swarm_ray.genrl.math import MAX_CHARS, MOST_PER_PEER, MathDataManager
from swarm_ray.genrl.policy_trainer import PolicyTrainer


class Watched(PolicyTrainer):
    """Remembers what it was asked, and what it was asked again when it trained."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.asked: list[list[str]] = []
        self.trained_on: list[list[str]] = []

    def generate(self, inputs):
        self.asked.append([row["prompt"][1]["content"] for row in inputs])
        return super().generate(inputs)

    def train(self, state, data_manager, reward_manager):
        for stage in range(state.stage):
            rows, _ = data_manager.prepare_input(state.get_stage_state(stage), stage)
            self.trained_on.append([row["prompt"][1]["content"] for row in rows])
        super().train(state, data_manager, reward_manager)


def test_questions_are_common_to_nodes_and_have_answers_that_genrl_recognises():
    one, two = MathDataManager(6, seed=5), MathDataManager(6, seed=5)
    rounds = [one.get_round_data() for _ in range(5)]
    assert [two.get_round_data() for _ in range(5)] == rounds
    assert all(state.environment_states["answer"].isdecimal() for data in rounds for _, state in data)
    assert all(len({item for item, _ in data}) == 6 for data in rounds)
    again = MathDataManager(6, seed=5)
    again.skip_rounds(4)
    assert again.get_round_data() == rounds[4]
    assert MathDataManager(6, seed=6).get_round_data() != rounds[0]


def test_too_few_questions_are_one_line():
    tasks = {"specialties": [{"name": "count_bits", "options": {"min_n": 1, "max_n": 2}}]}
    with pytest.raises(ConfigError, match="count_bits have no 5 different questions"):
        MathDataManager(5, tasks=tasks).get_round_data()
    with pytest.raises(ConfigError, match="did you mean"):
        MathDataManager(5, tasks={"specialties": ["chain_summ"]})


def test_two_nodes_play_three_stages_and_show_each_other_what_they_said():
    hub, rows = Hub(2), [Rows(), Rows()]
    trainers = [Watched(tiny_policy(i), 4, node=f"n{i}", openings=OPENINGS) for i in range(2)]
    managers = [
        math_manager(MemoryGather(f"n{i}", hub), rounds=2, recorder=rows[i], trainer=trainers[i])
        for i in range(2)
    ]
    before = [weights(trainer) for trainer in trainers]
    play(managers, hub)
    assert sorted(hub.sent) == [(r, s) for r in range(2) for s in range(3)]
    for i, trainer in enumerate(trainers):
        # GenRL's own manager trains stages 1 and 2 on prompts that nobody answered.
        assert trainer.trained_on == trainer.asked
        first, second, third = trainer.asked[:3]
        for question, asked, again in zip(first, second, third, strict=True):
            assert f"The given math problem is: {question}" in asked
            assert asked.count("said: \nAnswer: ") == 8  # four of each node
            assert again.startswith(asked.rstrip())
            assert again.count("was: \nChoice: Student #") == 8
        for row in rows[i].rows:
            assert (row.stages, row.local, row.external) == (3, 6, 6)
            assert row.counters.used_from == {f"n{1 - i}": 6}
            assert row.reward > 0.2  # the form alone is worth 0.5
            assert row.trained
            assert any("were too long" in problem for problem in row.problems)
        assert moved(before[i], trainer)


def test_what_is_shown_of_a_peer_is_bounded():
    data = MathDataManager(1)
    data.counts = RoundCounts()
    swarm = {
        "b": {"q": [Payload(None, ["x" * 9000] * 50, None)]},
        "a": {"q": [Payload(None, ["own", 5, None], None)]},
        "c": {"other": [Payload(None, ["no"], None)]},
    }
    said = data.prepare_opponent(None, swarm, 0, "a", "q")
    assert said == ["own", *["x" * MAX_CHARS] * MOST_PER_PEER]
    assert data.counts.shown == {"b": 1}


def test_a_peer_that_claims_infinite_rewards_ends_no_game():
    scores = {"honest": [1.0, 0.0], "liar": [float("inf"), float("-inf")]}
    assert best_peer(scores) in scores
