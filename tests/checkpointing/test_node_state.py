import msgspec
import pytest
from checkpoints_for_tests import CONFIG, small_node, small_policy, state_of
from experiments_for_tests import metrics_row

from swarm_ray.checkpointing.node_state import decode_state, fingerprint, require_same_model
from swarm_ray.errors import CheckpointError, CheckpointMismatch
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.rollouts import StepCounters


def row(step: int) -> StepMetrics:
    counters = StepCounters(used=2, used_from={"node-1": 2})
    told = {"reward": 1 / 3, "reward_mixed": 0.1, "loss": None, "grad_norm": 1e-30, "counters": counters}
    return msgspec.structs.replace(metrics_row("node-0", step), **told)


def test_what_is_kept_comes_back_to_the_last_digit() -> None:
    state = state_of(small_node(), rows=tuple(map(row, range(3))), vote="node-3", evaluated=True)
    assert decode_state(state.encode(), "state.json") == state


def test_what_this_version_does_not_read_is_refused() -> None:
    whole = state_of(small_node()).encode()
    for data in (b"", whole[:-5], b"[]", b"{}", whole.replace(b'"schema": 1', b'"schema": 2')):
        assert data != whole
        with pytest.raises(CheckpointError, match=r"step_000007/state\.json"):
            decode_state(data, "step_000007/state.json")


def test_another_model_is_refused_with_the_difference() -> None:
    node = small_node()
    state = state_of(node)
    require_same_model(state, fingerprint(CONFIG.policy, node.policy) | {"torch": "99.0"})
    larger = fingerprint(CONFIG.policy, small_policy(0, hidden=64))
    with pytest.raises(CheckpointMismatch, match=rf"parameters is '{larger['parameters']}' here"):
        require_same_model(state, larger)
    renamed = CONFIG.policy.model_copy(update={"model": "some/other"})
    with pytest.raises(CheckpointMismatch, match="'some/other' here and 'tiny' in the checkpoint"):
        require_same_model(state, fingerprint(renamed, node.policy))


def test_a_later_versions_fields_are_passed_over() -> None:
    state = state_of(small_node())
    told = msgspec.json.decode(state.encode()) | {"new": 1}
    assert decode_state(msgspec.json.encode(told), "x") == state
