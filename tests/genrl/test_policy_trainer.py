"""The trainer on a policy of ours: what it generates, what it trains on, and what it keeps."""

import math

import pytest
import torch
from games_for_tests import moved, tiny_policy, weights
from genrl.state import GameState, WorldState

from swarm_ray.errors import CheckpointError, CheckpointMismatch, NodeFailure
from swarm_ray.genrl.policy_trainer import PolicyTrainer
from swarm_ray.policies.prompts import Turn


def rows(*questions, system="Be brief."):
    return [
        {"prompt": [{"role": "system", "content": system}, {"role": "user", "content": question}]}
        for question in questions
    ]


class Table:
    """As much of a data manager as training asks: prompts by (agent, question)."""

    def prepare_input(self, inputs, stage):
        places = [(a, q, i) for a in inputs for q in inputs[a] for i in range(len(inputs[a][q]))]
        return rows(*(q for _, q, _ in places)), dict(enumerate(places))


def played(groups):
    """A state of one stage and its rewards: groups of (agent, question) to (texts, rewards)."""
    state, rewards = GameState(0, 0), {}
    state.trees = {}
    for (agent, question), (texts, given) in groups.items():
        tree = state.game_tree_factory(WorldState({"question": question}, None, None))
        tree.append_node_actions(0, 0, texts)
        state.trees.setdefault(agent, {})[question] = tree
        rewards.setdefault(agent, {})[question] = [given]
    state.stage = 1 if groups else 0
    return state, [rewards]


@pytest.fixture
def trainer():
    return PolicyTrainer(tiny_policy(), 4, node="n0")


@pytest.fixture
def groups(trainer, monkeypatch):
    """What the policy was updated with."""
    found, update = [], trainer.policy.update
    monkeypatch.setattr(
        trainer.policy, "update", lambda some, loss_of: found.extend(some) or update(some, loss_of)
    )
    return found


def test_completions_follow_from_seed_node_and_place_alone(trainer):
    inputs = rows("1 + 1", "2 + 2")
    first = trainer.generate(inputs)
    assert [len(group) for group in first] == [4, 4]
    assert all(text.isdigit() or not text for group in first for text in group)
    assert trainer.generate(inputs) == first
    assert PolicyTrainer(tiny_policy(), 4, node="n0").generate(inputs) == first
    for other in ((1, 0), (0, 1)):
        trainer.place = other
        assert trainer.generate(inputs) != first
    assert PolicyTrainer(tiny_policy(), 4, node="n1").generate(inputs) != first
    assert trainer.generate([]) == []


def test_own_completions_are_trained_on_as_sampled_and_others_as_their_text(trainer, groups):
    (own,) = trainer.generate(rows("1 + 1"))
    (made,) = trainer._made.values()
    before = weights(trainer)
    peers = ["12", "3", "4444"]
    state, rewards = played(
        {("me", "1 + 1"): (own, [1, 0, 0, 0]), ("peer", "1 + 1"): (peers, [0.0, 1.0, 0.5])}
    )
    trainer.train(state, Table(), rewards)
    mine, theirs = groups
    assert mine.completions == tuple(c.ids for c in made)
    eos = trainer.policy.sampling.eos_ids[0]
    encode = trainer.policy.encode
    assert theirs.completions == (
        (*encode("12", finished=False), eos),
        (*encode("3", finished=False), eos),
        encode("4444", finished=False),
    )
    assert mine.advantages == pytest.approx((1.4997, -0.4999, -0.4999, -0.4999), abs=1e-3)
    assert theirs.advantages == pytest.approx((-0.9998, 0.9998, 0), abs=1e-3)
    assert mine.prompt == theirs.prompt
    report = trainer.report
    assert report.trained
    assert report.generated_tokens == sum(len(c.ids) for c in made)
    assert math.isfinite(report.loss)
    assert moved(before, trainer)
    assert not trainer._made


def _rewarded(question, answer):
    state, rewards = played({("peer", question): ([answer, "3"], [1.0, 0.0])})
    return state, Table(), rewards


@pytest.mark.parametrize(
    "groups",
    [
        {},
        {("me", "1"): (["1", "2"], [0.0, 0.0])},
        {("me", "1"): (["1", "2"], [0.5, 0.5])},
        {("me", "1"): ([], [0.0])},
        {("me", "1"): (None, [0.0])},
        {("me", "1"): (["1", "2"], [1.0])},
        {("me", "1"): (["1"], [1.0])},
    ],
)
def test_nothing_to_learn_takes_no_step(trainer, groups):
    before = weights(trainer)
    state, rewards = played(groups)
    trainer.train(state, Table(), rewards)
    assert not trainer.report.trained
    assert trainer.report.loss is None
    assert not moved(before, trainer)


def test_a_reward_that_is_no_number_fails_the_node_and_changes_nothing(trainer):
    before = weights(trainer)
    state, rewards = played({("me", "1"): (["1", "2"], [float("nan"), 1.0])})
    with pytest.raises(NodeFailure, match="not finite"):
        trainer.train(state, Table(), rewards)
    assert not moved(before, trainer)


def test_openings_begin_every_completion_of_their_stage_and_are_not_trained_on(trainer, groups):
    trainer.openings = ("\nAnswer: ",)
    (own,) = trainer.generate(rows("1 + 1"))
    assert all(text.startswith("\nAnswer: ") for text in own)
    (made,) = trainer._made.values()
    state, rewards = played({("me", "1 + 1"): (own, [1, 0, 0, 0]), ("peer", "2"): (["\nAnswer: 7"], [1.0])})
    trainer.train(state, Table(), rewards)
    assert groups[0].completions == tuple(c.ids for c in made)
    assert groups[1].completions == (trainer.policy.encode("7", finished=True),)
    trainer.place = (0, 1)
    assert not trainer.generate(rows("1 + 1"))[0][0].startswith("\n")


def test_long_prompts_are_cut_in_the_middle_and_told(trainer):
    long = "begin " + "7" * 2000 + " end"
    (texts,) = trainer.generate(rows(long))
    ((turn, _),) = trainer._made
    assert turn.question.startswith("begin 7")
    assert turn.question.endswith("7 end")
    assert " ... " in turn.question
    assert trainer.policy.has_room(turn)
    assert not trainer.policy.has_room(Turn("", turn.question + "7" * 8))
    state, rewards = played({("me", long): (texts, [1, 0, 0, 0])})
    trainer.train(state, Table(), rewards)
    assert trainer.report.problems == ("1 prompts were too long for the model's context and were cut",)
    assert trainer.report.generated_tokens > 0


def test_a_peer_cannot_write_special_tokens_into_a_prompt(trainer):
    trainer.generate(rows("said: 4<eos><a>5<q>"))
    ((turn, _),) = trainer._made
    assert turn.question == "said: 4< eos>< a>5< q>"


def test_what_is_saved_learns_on_alike(trainer, tmp_path):
    trainer.openings = ("x",)
    trainer.train(*_rewarded("5 + 2", "7"))
    trainer.save(tmp_path / "a b")
    loaded = PolicyTrainer.load(tmp_path / "a b", tiny_policy(seed=3))
    assert (loaded.num_generations, loaded.node, loaded.openings) == (4, "n0", ("x",))
    for one in (trainer, loaded):
        one.train(*_rewarded("5 + 3", "8"))
    assert all(torch.equal(v, weights(loaded)[name]) for name, v in weights(trainer).items())


def test_a_damaged_save_and_one_of_another_model_are_refused(trainer, tmp_path):
    with pytest.raises(CheckpointError, match="holds no saved trainer"):
        PolicyTrainer.load(tmp_path, tiny_policy())
    trainer.save(tmp_path)
    other = tiny_policy()
    del other.model.model.layers[1]
    with pytest.raises(CheckpointMismatch, match="not of this model"):
        PolicyTrainer.load(tmp_path, other)
    (tmp_path / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="cannot be read"):
        PolicyTrainer.load(tmp_path, tiny_policy())
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        trainer.save(file)
