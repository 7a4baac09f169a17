"""The reasoning-gym game: its questions, both rules of sharing, and what a stranger's payload cannot do."""

import copy
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from games_for_tests import (
    DATASETS,
    Hub,
    MemoryGather,
    Rows,
    moved,
    play,
    rgym_data,
    rgym_manager,
    shared,
    weights,
)
from genrl.communication import Payload
from genrl.examples.rgym.data import ReasoningGymDataManager
from genrl.state import GameState, WorldState

from swarm_ray.errors import ConfigError
from swarm_ray.genrl.questions import SEEDS, batch_id, world_state_of
from swarm_ray.genrl.rgym import DATASETS as PAPER
from swarm_ray.genrl.rgym import GymDataManager, GymRewards, best_by_total
from swarm_ray.genrl.wire import encode


@pytest.fixture
def data(verifier):
    return rgym_data(verifier)


def of_one(name):
    """A game of one data set, which scores by itself."""
    datasets = [{"name": name, "weight": 1, "config": {"seed": 1}}]
    return closing(GymDataManager({"datasets": datasets}, seed=0))


SWARM = {"all_right": {0: ["right", "right"]}, "all_wrong": {1: ["x", "y"]}, "mixed": {2: ["right", "x"]}}
"""A rollout of each peer, by position."""


def playing(data):
    """A game's state after the node's own draw, as `transplant_trees` meets it."""
    state = GameState(0, 0)
    state._init_game(data.get_round_data(), agent_keys=["me"])
    return state


def payloads(data, **groups):
    """A payload per peer, of completions by position."""
    return {
        peer: {k: v for position, texts in rollouts.items() for k, v in shared(data, texts, position).items()}
        for peer, rollouts in groups.items()
    }


def taken(data, swarm, count=2):
    """Peers whose rollouts were taken, most often first."""
    return Counter(agent for agent, _ in data.transplant_trees(playing(data), swarm, count))


def test_the_stream_is_genrls_with_answers_that_can_be_learned(tmp_path):
    sizes = {"num_train_samples": 6, "seed": 7, "chunk_size": 100}
    theirs = ReasoningGymDataManager(str(PAPER), num_evaluation_samples=0, **sizes)
    ours = GymDataManager(**sizes)
    unanswered = 0
    for _ in range(20):
        drawn = zip(theirs.get_round_data(), ours.get_round_data(), strict=True)
        for (their_id, their_state), (our_id, our_state) in drawn:
            assert their_id == our_id
            question, answer = (their_state.environment_states[k] for k in ("question", "answer"))
            assert our_state.environment_states["question"] == question
            unanswered += not answer
            assert our_state.environment_states["answer"]
            if answer:
                assert our_state.environment_states["answer"] == answer
            encode(our_state)
    assert unanswered > 3  # propositional_logic
    ours.close()


def test_all_nine_data_sets_take_the_answer_they_hand_over():
    with closing(GymDataManager(num_train_samples=60, seed=3)) as data:
        state = playing(data)
        rewards = GymRewards(data)
        for tree in state.trees["me"].values():
            answer = tree[0][0].world_state.environment_states["answer"]
            tree.append_node_actions(0, 0, [f"So <answer>{answer}</answer>", "none"])
        by_set: dict[str, list[float]] = {}
        for item, ((right, wrong),) in rewards(state)["me"].items():
            environment = state.trees["me"][item][0][0].world_state.environment_states
            by_set.setdefault(environment["metadata"]["source_dataset"], []).append(right)
            assert wrong < right
        assert len(by_set) == 9
        assert min(min(values) for values in by_set.values()) >= 0.25  # tautologies follow from anything
        assert min(max(values) for values in by_set.values()) == 1.0
        assert data.counts.scoring_failures == 0


def test_the_papers_rule_drops_rollouts_without_advantage_and_draws_of_the_rest(data):
    swarm = payloads(data, **SWARM)
    assert taken(data, swarm) == {"mixed": 1}
    assert data.counts.zero_advantage == 2
    assert data.counts.scores["all_right"] == [1.0, 1.0]
    many = payloads(data, **{f"peer{i}": {i: ["right", "x", "y"]} for i in range(10)})
    drawn = set()
    for number in range(30):
        state = playing(data)
        state.round = number
        found = data.transplant_trees(state, many, 3)
        assert len(found) == 3
        assert found == data.transplant_trees(state, many, 3)  # of (seed, node, round) alone
        assert list(found) == list(data.transplant_trees(state, dict(reversed(many.items())), 3))
        drawn |= {agent for agent, _ in found}
    assert len(drawn) == 10


def test_upstreams_rule_takes_the_highest_totals_zero_advantage_or_not(verifier):
    data = GymDataManager(DATASETS, rule="upstream", seed=0, answer="whole", verifier=verifier)
    swarm = payloads(data, **SWARM)
    assert taken(data, swarm) == {"all_right": 1, "mixed": 1}
    assert taken(data, swarm, 1) == {"all_right": 1}
    assert taken(data, payloads(data, all_wrong={1: ["x", "y"]})) == {}


def test_upstreams_rule_drops_as_many_as_stand_without_reward_at_the_beginning():
    totals = {("a", "1"): 0.0, ("b", "2"): 0.5, ("c", "3"): 2.0, ("d", "4"): 0.0}
    assert best_by_total(totals, 4) == [("d", "4"), ("b", "2"), ("c", "3")]
    assert best_by_total(totals, 1) == [("c", "3")]
    assert best_by_total(totals, 0) == best_by_total({("a", "1"): 0.0}, 3) == []


def test_answers_and_metadata_of_a_peer_are_not_believed(data):
    """A peer that claims its wrong answer to be right gets what this node's verifier gives."""
    one = shared(data, ["no", "never"])
    ((payload,),) = one.values()
    payload.world_state.environment_states |= {"answer": "no"}
    payload.world_state.environment_states["metadata"] |= {"difficulty": "no", "operands": []}
    assert taken(data, {"liar": one}) == {}
    assert data.counts.scores["liar"] == [0.0, 0.0]
    payload.actions = [data.questions.draw(77, 0).reference, "no"]
    (found,) = data.transplant_trees(playing(data), {"liar": one}, 1).values()
    assert found.world_state == world_state_of(data.questions.draw(77, 0))


NO_LIST = "without a list of 1 to 64 completions"
NO_TEXT = "a completion that is not text, or a very long one"


@pytest.mark.parametrize(
    ("texts", "changes", "reason"),
    [
        (["1", "2"], {"question": "What is 1 + 1?"}, "a question with another text"),
        (["1", "2"], {"metadata": None}, "a question without metadata"),
        (["1", "2"], {"source_dataset": "gcd"}, "a question of an unknown data set"),
        (["1", "2"], {"source_dataset": ["gcd"]}, "a question of an unknown data set"),
        (["1", "2"], {"source_index": 500}, "a question with an index outside the pool"),
        (["1", "2"], {"source_index": True}, "a question with an index outside the pool"),
        (None, {}, NO_LIST),
        ([], {}, NO_LIST),
        (["1"] * 65, {}, NO_LIST),
        (["1", 2], {}, NO_TEXT),
        (["1", "2" * 50_001], {}, NO_TEXT),
    ],
)
def test_what_is_no_rollout_of_the_game_is_refused(data, texts, changes, reason):
    one = shared(data, texts)
    ((payload,),) = one.values()
    environment = payload.world_state.environment_states
    for key, value in changes.items():
        (environment["metadata"] if key.startswith("source") else environment)[key] = value
    assert taken(data, {"peer": one}) == {}
    assert data.counts.rejected == {reason: 1}


def test_names_and_numbers_of_rollouts_are_checked(data):
    ((item, (payload,)),) = shared(data, ["no", "never"]).items()
    other = batch_id(data.questions.draw(77, 1))
    strange = Payload(WorldState(3, None, None), ["1"])
    assert taken(data, {"a": {other: [payload]}, "b": {item: [payload] * 100}, "c": {"x": [strange]}}) == {}
    assert data.counts.rejected == {
        "a question under another's name": 1,
        "beyond 64 rollouts of one node": 36,
        "a question without metadata": 1,
    }


def test_no_text_of_a_stranger_is_evaluated(tmp_path):
    """`binary_matrix` calls `eval` on an answer where GenRL scores; the answer would make a file here."""
    trap = tmp_path / "evaluated"
    with of_one("binary_matrix") as data:
        attack = f"<answer>__import__('pathlib').Path({str(trap)!r}).touch()</answer>"
        state = playing(data)
        data.transplant_trees(state, {"peer": shared(data, [attack, attack])}, 2)
        for tree in state.trees["me"].values():
            tree.append_node_actions(0, 0, [attack])
        GymRewards(data)(state)
        assert data.counts.scores["peer"] == [0.0, 0.0]
        assert not trap.exists()


def test_a_verifier_that_evaluates_text_refuses_strangers():
    with of_one("countdown") as data:
        assert taken(data, {"peer": shared(data, ["<answer>1</answer>", "<answer>2</answer>"])}) == {}
        assert data.counts.rejected == {"its verifier evaluates text, so external text is not scored": 1}
        state = playing(data)
        (item, tree), *_ = state.trees["me"].items()
        right = f"<answer>{tree[0][0].world_state.environment_states['answer']}</answer>"
        state.trees = {"me": {item: tree}, "peer": {item: copy.deepcopy(tree)}}
        for agent in state.trees:
            state.trees[agent][item].append_node_actions(0, 0, [right])
        assert GymRewards(data)(state) == {"me": {item: [[1.0]]}, "peer": {item: [[0.0]]}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Path("nowhere.yaml"), "nowhere.yaml is not a composite configuration"),
        ({"datasets": []}, "is not a composite configuration"),
        ({"datasets": [{"name": "gdc", "weight": 1, "config": {}}]}, "'gdc'; did you mean gcd"),
        ({"datasets": [{"name": "gcd", "weight": 1, "config": {"most": 1}}]}, "gcd has no such option"),
    ],
)
def test_wrong_configurations_are_one_line(config, message):
    with pytest.raises(ConfigError) as refused:
        GymDataManager(config)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError, match="'best' is unknown; choose paper or upstream"):
        GymDataManager(DATASETS, rule="best")


@pytest.mark.parametrize("rule", ["paper", "upstream"])
def test_two_nodes_learn_from_each_other(verifier, rule):
    hub, rows = Hub(2), [Rows(), Rows()]
    managers = [
        rgym_manager(MemoryGather(f"n{i}", hub), verifier, rule=rule, seed=i, rounds=3, recorder=rows[i])
        for i in range(2)
    ]
    before = [weights(m.trainer) for m in managers]
    play(managers, hub)
    for i, manager in enumerate(managers):
        found = rows[i].rows
        assert [row.round for row in found] == [0, 1, 2]
        assert sum(row.external for row in found) > 0
        assert {peer for row in found for peer in row.counters.used_from} == {f"n{1 - i}"}
        assert all(row.counters.offered >= row.external for row in found)
        assert any(row.trained for row in found)
        assert moved(before[i], manager.trainer)
        assert rows[i].said == ["restored", "ended"]
        assert {row.vote for row in found} == {f"n{1 - i}"}


def test_rewards_of_a_tree_without_a_known_question_are_zero(data):
    state = playing(data)
    state.trees["me"] = {"x": state.game_tree_factory(WorldState({"question": "?"}, None, None))}
    state.trees["me"]["x"].append_node_actions(0, 0, ["1", "2"])
    assert GymRewards(data)(state) == {"me": {"x": [[0.0, 0.0]]}}


def test_seeds_are_of_32_bits(data):
    assert data.questions.draw(SEEDS - 1, 500).text
