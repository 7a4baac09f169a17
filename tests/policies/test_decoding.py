import random
from dataclasses import replace

import pytest
import torch

from swarm_ray.errors import NodeFailure
from swarm_ray.policies import generate as decoding
from swarm_ray.policies.generate import Sampling, sample_completions

PROMPTS = [(5, 9, 17, 40, 8, 77, 120), (33,), (7, 8, 9)]
SAMPLING = Sampling(max_new_tokens=8, temperature=1.0, eos_ids=(3,), pad_id=0, banned_ids=(0,))


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def test_cold_sampling_is_greedy_generation(model):
    cold = replace(SAMPLING, temperature=1e-5, eos_ids=(), banned_ids=())
    found = sample_completions(model, PROMPTS, 2, cold, stream())
    for prompt, row in zip(PROMPTS, found, strict=True):
        ids = torch.tensor([prompt])
        options = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
        expected = model.generate(ids, attention_mask=torch.ones_like(ids), **options)
        assert row == [tuple(expected[0, len(prompt) :].tolist())] * 2


def test_an_end_of_sequence_token_closes_a_completion(llama):
    cold = replace(SAMPLING, temperature=1e-5, eos_ids=(), banned_ids=())
    ids = sample_completions(llama, PROMPTS[:1], 1, cold, stream())[0][0]
    first = next(i for i in range(1, 8) if ids[i] not in ids[:i])
    ended = sample_completions(llama, PROMPTS, 1, replace(cold, eos_ids=(319, ids[first])), stream())[0][0]
    assert ended == ids[: first + 1]
    empty = sample_completions(llama, PROMPTS[:1], 1, replace(cold, eos_ids=(ids[0],)), stream())[0][0]
    assert empty == ids[:1]


def test_frequencies_follow_the_softmax(llama):
    count, temperature = 20000, 0.7
    one = replace(SAMPLING, max_new_tokens=1, temperature=temperature, banned_ids=(0, 11))
    row = sample_completions(llama, PROMPTS[:1], count, one, stream(3))[0]
    seen = torch.bincount(torch.tensor([ids[0] for ids in row]), minlength=320).double()
    with torch.no_grad():
        logits = llama(input_ids=torch.tensor([PROMPTS[0]])).logits[0, -1].double() / temperature
    logits[[0, 11]] = -torch.inf
    expected = logits.softmax(0) * count
    often = expected >= 5
    cells = torch.stack([seen[often], expected[often]])
    rest = torch.stack([seen[~often].sum(), expected[~often].sum()])[:, None]
    observed, wanted = torch.cat([cells, rest], 1)
    chi_square, freedom = float(((observed - wanted) ** 2 / wanted).sum()), len(observed) - 1
    assert freedom > 20
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5


def test_banned_tokens_never_appear(llama):
    banned = tuple(range(0, 320, 2))
    found = sample_completions(llama, PROMPTS, 200, replace(SAMPLING, banned_ids=banned), stream())
    tokens = {token for row in found for ids in row for token in ids}
    assert len(tokens) > 50
    assert not tokens & set(banned)


def test_the_seed_decides_and_no_global_stream_is_touched(llama):
    torch.manual_seed(1)
    random.seed(1)
    before = (torch.get_rng_state(), random.getstate())
    first = sample_completions(llama, PROMPTS, 8, SAMPLING, stream(5))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    torch.manual_seed(2)
    assert sample_completions(llama, PROMPTS, 8, SAMPLING, stream(5)) == first
    assert sample_completions(llama, PROMPTS, 8, SAMPLING, stream(6)) != first
    assert all(len(set(row)) > 1 for row in first)


def test_a_large_vocabulary_is_sampled_in_portions(llama, monkeypatch):
    whole = sample_completions(llama, PROMPTS, 5, SAMPLING, stream(5))
    monkeypatch.setattr(decoding, "CHUNK_PROBABILITIES", 4 * 320)
    assert sample_completions(llama, PROMPTS, 5, SAMPLING, stream(5)) == whole


def test_weights_that_are_no_numbers_fail_the_node(llama):
    with torch.no_grad():
        llama.lm_head.weight[5, 5] = torch.nan
    with pytest.raises(NodeFailure, match="logits are not finite"):
        sample_completions(llama, PROMPTS, 2, SAMPLING, stream())
