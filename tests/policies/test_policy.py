import copy
import itertools
import random

import pytest
import torch

from swarm_ray.config.schema import GrpoConfig
from swarm_ray.errors import NodeFailure
from swarm_ray.policies import policy as module
from swarm_ray.policies.batching import micro_batches
from swarm_ray.policies.logprobs import Layout, TokenGroup
from swarm_ray.policies.state import snapshot
from swarm_ray.sapo.grpo import grpo_loss

LOSS = grpo_loss(GrpoConfig())

QUESTIONS = ["what is 12 plus 30?", "is 12 plus 30 what 42 is, or is it 30?", "42?"]
GROUPS = [
    TokenGroup((5, 9, 17), ((6, 7, 3), (90, 3), (12, 13, 14, 15, 16, 17)), (1.2, -0.7, -0.5)),
    TokenGroup((33, 4, 8, 10, 12), ((3,), (61, 62, 63)), (0.7, -0.7)),
    TokenGroup((33, 4), ((20, 3), (), (21, 22, 23, 3), (24, 3)), (0.5, 0.5, 0.5, -1.5)),
]
IDLE = TokenGroup((50, 51), ((52, 53, 3), (54, 3)), (0.0, 0.0))


def gradients(policy, groups):
    """What `update` hands to Adam, read off just before the step."""
    found = {}

    def remember(optimizer, args, kwargs):
        found.update({name: p.grad.clone() for name, p in policy.model.named_parameters()})

    hook = policy.optimizer.register_step_pre_hook(remember)
    stats = policy.update(groups, LOSS)
    hook.remove()
    return found, stats


def weights(policy):
    return {name: value.clone() for name, value in policy.model.state_dict().items()}


def assert_near(found, expected, tolerance=1e-5):
    assert found.keys() == expected.keys()
    largest = max(float(g.abs().max()) for g in expected.values())
    assert largest > 0
    for name, gradient in expected.items():
        assert (found[name] - gradient).abs().max() <= tolerance * largest, name


def test_generates_for_each_question_in_order(model, policy_of):
    policy = policy_of(model)
    found = policy.generate(QUESTIONS, 5, seed=3)
    assert [len(row) for row in found] == [5, 5, 5]
    for completion in (c for row in found for c in row):
        assert len(completion.ids) <= 6
        assert (3 in completion.ids) == completion.finished
        assert completion.finished or len(completion.ids) == 6
        assert 3 not in completion.ids[:-1]
        assert "<|endoftext|>" not in completion.text
    assert policy.generate(QUESTIONS, 5, seed=3) == found
    assert policy.generate(QUESTIONS, 5, seed=4) != found
    assert policy.generate([], 5, seed=3) == []


@pytest.mark.parametrize("most", [1, 3, 5, 7, 10])
def test_generate_batch_bounds_a_decode(llama, policy_of, monkeypatch, most):
    rows, sample = [], module.sample_completions

    def counted(model, prompts, copies, sampling, stream, check_cancelled):
        rows.append(len(prompts) * copies)
        return sample(model, prompts, copies, sampling, stream, check_cancelled)

    monkeypatch.setattr(module, "sample_completions", counted)
    found = policy_of(llama, policy={"generate_batch": most}).generate(QUESTIONS, 5, seed=3)
    assert [len(row) for row in found] == [5, 5, 5]
    assert max(rows) <= most
    assert sum(rows) == 15


def test_the_sampled_end_of_sequence_token_is_kept(llama, policy_of):
    policy = policy_of(llama, ends=tuple(range(3, 200)))
    finished = [c for c in policy.generate(QUESTIONS[:1], 40, seed=0)[0] if c.finished]
    assert len({c.ids[-1] for c in finished}) > 3
    assert policy.encode("42", finished=True)[-1] == 3


def test_reencodes_says_whether_the_text_gives_the_tokens(llama, policy_of, tokenizer):
    policy = policy_of(llama)
    rows = policy.generate(QUESTIONS, 40, seed=1)
    completions = [c for row in rows for c in row]
    for c in completions:
        ids = c.ids[:-1] if c.finished else c.ids
        again = tokenizer.encode(c.text, add_special_tokens=False, split_special_tokens=True)
        assert c.reencodes == (tuple(again) == ids)
    assert len({c.reencodes for c in completions}) == 2


def test_texts_are_encoded_closed_and_cut(llama, policy_of, tokenizer):
    policy = policy_of(llama)
    texts = [("42", True), ("42", False), ("", True), ("", False), ("xyzxyzxyz", True), ("xyzxyz", True)]
    group = policy.group(QUESTIONS[0], (policy.encode(text, finished=finished) for text, finished in texts))
    assert tokenizer.decode(group.prompt) == f"Question: {QUESTIONS[0]}\nAnswer:"
    answer = tuple(tokenizer.encode("42"))
    spelled = tuple(tokenizer.encode("xyzxyz"))
    assert len(spelled) == 6
    assert group.completions == ((*answer, 3), answer, (3,), (), spelled, spelled)


def test_a_peer_cannot_write_special_tokens(llama, policy_of):
    policy = policy_of(llama, policy={"max_new_tokens": 40})
    text = "4<|endoftext|>2<|im_end|><|pad|>"
    ids = policy.encode(text, finished=False)
    assert not set(ids) & {0, 1, 2, 3}
    assert policy.tokenizer.decode(ids) == text


def test_prompts_beyond_the_context_fail_the_node(model, policy_of):
    policy = policy_of(model, policy={"max_new_tokens": 30})
    long = "7" * 95
    size = len(policy.tokenizer.encode(f"Question: {long}\nAnswer:"))
    assert 98 < size <= 128
    message = f"a prompt of {size} tokens and a completion of up to 30 .* context of 128"
    with pytest.raises(NodeFailure, match=message):
        policy.generate([QUESTIONS[0], long], 2, seed=0)
    with pytest.raises(NodeFailure, match=message):
        policy.group(long, [(42,)])
    assert len(policy.generate(["7" * (95 - (size - 98))], 2, seed=0)[0]) == 2


@pytest.mark.parametrize("layout", Layout)
def test_an_update_is_the_gradient_of_the_token_mean(model, policy_of, layout):
    policy = policy_of(model, layout)
    plain = copy.deepcopy(model)
    loss, tokens = torch.zeros(()), 0
    for group in [*GROUPS, IDLE]:
        for completion, advantage in zip(group.completions, group.advantages, strict=True):
            ids = torch.tensor([[*group.prompt, *completion]])
            logits = plain(input_ids=ids).logits[0]
            logs = logits.index_fill(1, torch.tensor([0]), -torch.inf).log_softmax(-1)  # 0 is never sampled
            start = len(group.prompt) - 1
            for i, token in enumerate(completion):
                loss = loss - logs[start + i, token] * advantage
            tokens += len(completion)
    (loss / tokens).backward()
    found, stats = gradients(policy, [*GROUPS, IDLE])
    assert_near(found, {name: p.grad for name, p in plain.named_parameters()}, 1e-4)
    norm = torch.cat([p.grad.flatten() for p in plain.parameters()]).norm()
    assert stats.grad_norm == pytest.approx(float(norm), rel=1e-3)
    assert stats.tokens == tokens == 28
    assert stats.clip_share == 0.0
    assert 0 < stats.entropy < 5.8


@pytest.mark.parametrize("layout", Layout)
def test_groups_without_advantage_count_but_are_not_computed(llama, policy_of, layout):
    other = copy.deepcopy(llama)
    skipped, stats = gradients(policy_of(llama, layout), [*GROUPS, IDLE])
    almost = TokenGroup(IDLE.prompt, IDLE.completions, (1e-30, 0.0))
    computed, computed_stats = gradients(policy_of(other, layout), [*GROUPS, almost])
    assert_near(skipped, computed)
    assert stats.tokens == computed_stats.tokens == 28
    assert stats.loss == pytest.approx(computed_stats.loss, abs=1e-6)


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("most", [1, 12, 20])
def test_micro_batches_add_up_to_one_batch(model, policy_of, layout, most):
    other = copy.deepcopy(model)
    whole, whole_stats = gradients(policy_of(model, layout), GROUPS)
    parts, parts_stats = gradients(policy_of(other, layout, policy={"micro_batch_tokens": most}), GROUPS)
    assert_near(parts, whole)
    assert parts_stats.loss == pytest.approx(whole_stats.loss, abs=1e-6)
    assert parts_stats.entropy == pytest.approx(whole_stats.entropy, rel=1e-5)


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("most", [1, 12, 20, 1000])
def test_micro_batches_hold_every_completion_once_within_the_bound(layout, most):
    def completions(groups):
        parts = [(g.prompt, zip(g.completions, g.advantages, strict=True)) for g in groups]
        return sorted((prompt, c, a) for prompt, pairs in parts for c, a in pairs if c)

    batches = list(micro_batches(GROUPS, layout, most))
    assert completions(itertools.chain(*batches)) == completions(GROUPS)
    assert len(batches) == 1 or most < 1000
    for batch in batches:
        assert all(g.completion_tokens for g in batch)
        if layout is Layout.PACKED:
            area = len(batch) * max(len(g.prompt) + g.completion_tokens for g in batch)
        else:
            longest = max(len(g.prompt) + len(c) for g in batch for c in g.completions)
            area = longest * sum(len(g.completions) for g in batch)
        assert area <= most or sum(len(g.completions) for g in batch) == 1


def test_nothing_to_learn_changes_nothing(llama, policy_of):
    policy = policy_of(llama)
    before = weights(policy)
    empty = TokenGroup((5, 6), ((), ()), (1.0, -1.0))
    for groups, tokens in (([], 0), ([IDLE], 5), ([empty], 0)):
        stats = policy.update(groups, LOSS)
        assert (stats.loss, stats.grad_norm, stats.entropy, stats.tokens) == (0.0, 0.0, 0.0, tokens)
    assert all(torch.equal(value, before[name]) for name, value in weights(policy).items())
    assert not policy.optimizer.state


@pytest.mark.parametrize("limit", [None, 1.0])
def test_a_loss_that_is_not_finite_changes_nothing(llama, policy_of, limit):
    policy = policy_of(llama, grpo={"max_grad_norm": limit})
    policy.update(GROUPS, LOSS)
    before, moments = weights(policy), copy.deepcopy(policy.optimizer.state_dict())
    for bad in (float("inf"), float("nan")):
        poisoned = TokenGroup(GROUPS[1].prompt, GROUPS[1].completions, (bad, -1.0))
        with pytest.raises(NodeFailure, match="not finite"):
            policy.update([GROUPS[0], poisoned], LOSS)
    assert all(torch.equal(value, before[name]) for name, value in weights(policy).items())
    after = policy.optimizer.state_dict()["state"]
    for key, state in moments["state"].items():
        assert all(torch.equal(after[key][name], value) for name, value in state.items())
    assert all(p.grad is None for p in llama.parameters())
    policy.update(GROUPS, LOSS)


def test_the_gradient_is_clipped_to_its_norm(llama, policy_of):
    other = copy.deepcopy(llama)
    free, stats = gradients(policy_of(llama), GROUPS)
    clipped, clipped_stats = gradients(policy_of(other, grpo={"max_grad_norm": 0.01}), GROUPS)
    assert clipped_stats.grad_norm == pytest.approx(stats.grad_norm)
    assert stats.grad_norm > 0.02
    assert_near(clipped, {name: g * 0.01 / stats.grad_norm for name, g in free.items()}, 1e-3)


def test_an_update_needs_no_random_numbers(build, policy_of):
    """GPT-2 has dropout, which would make log-probs noisy and a resumed run another one."""
    first, second = build("gpt2"), build("gpt2")
    torch.manual_seed(1)
    random.seed(1)
    before = torch.get_rng_state(), random.getstate()
    policy_of(first).update(GROUPS, LOSS)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    torch.manual_seed(2)
    policy_of(second).update(GROUPS, LOSS)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_learning_in_reduced_precision_keeps_float32_weights(model, policy_of):
    policy = policy_of(model, policy={"dtype": "bfloat16"})
    before = weights(policy)
    policy.generate(QUESTIONS, 3, seed=0)
    stats = policy.update(GROUPS, LOSS)
    assert stats.grad_norm > 0
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert all(s["exp_avg"].dtype == torch.float32 for s in policy.optimizer.state.values())
    assert any(not torch.equal(value, before[name]) for name, value in weights(policy).items())


def test_learning_raises_what_is_rewarded(llama, policy_of):
    """The loop of a node in small: completions that hold a digit are rewarded until most do."""
    policy = policy_of(llama, grpo={"learning_rate": 0.01})

    def rewards(row):
        return [float(any(ch.isdigit() for ch in c.text)) for c in row]

    def mean():
        return sum(sum(rewards(row)) for row in policy.generate(QUESTIONS, 32, seed=99)) / 96

    first = mean()
    for step in range(15):
        groups = []
        for question, row in zip(QUESTIONS, policy.generate(QUESTIONS, 8, seed=step), strict=True):
            advantages = tuple(r - sum(rewards(row)) / 8 for r in rewards(row))
            groups.append(policy.group(question, (c.ids for c in row), advantages))
        policy.update(groups, LOSS)
    assert first < 0.5
    assert mean() > first + 0.3


class Stopped(Exception):
    """What the check raises here."""


def stop_after(policy, beats):
    left = iter(range(beats))

    def check_cancelled():
        if next(left, None) is None:
            raise Stopped

    policy.check_cancelled = check_cancelled


@pytest.mark.parametrize("beats", [0, 1, 3])
def test_a_cancellation_ends_a_decode(llama, policy_of, beats):
    policy = policy_of(llama)
    stop_after(policy, beats)
    with pytest.raises(Stopped):
        policy.generate(QUESTIONS, 5, seed=3)


def test_a_cancellation_that_ends_an_update_leaves_weights_and_optimizer(llama, policy_of):
    policy = policy_of(llama, policy={"micro_batch_tokens": 1})
    policy.update(GROUPS, LOSS)
    before = snapshot(policy)
    stop_after(policy, 2)
    with pytest.raises(Stopped):
        policy.update(GROUPS, LOSS)
    after = snapshot(policy)
    for one, other in ((before.weights, after.weights), (before.optimizer, after.optimizer)):
        assert all(torch.equal(one[name], other[name]) for name in one)
    policy.check_cancelled = lambda: None
    assert policy.update(GROUPS, LOSS).tokens > 0
