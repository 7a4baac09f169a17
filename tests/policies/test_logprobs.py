import pytest
import torch

from swarm_ray.policies import logprobs
from swarm_ray.policies.logprobs import Layout, TokenGroup, completion_logprobs, lay_out

CPU = torch.device("cpu")
GROUPS = [
    TokenGroup((5, 9, 17, 40, 8), ((6, 7, 8, 3), (), (90, 3), (12, 13, 14, 15, 16, 200, 3))),
    TokenGroup((33, 4), ((3,), (61, 62, 63))),
    TokenGroup((7, 7, 7, 8, 9, 10, 11, 12), ((100,),)),
]


def reference(model, temperature=1.0, banned=()):
    """One completion at a time, unpadded, through the model's own head."""
    found = []
    for group in GROUPS:
        for completion in group.completions:
            logits = model(input_ids=torch.tensor([[*group.prompt, *completion]])).logits[0]
            start = len(group.prompt) - 1
            for i, token in enumerate(completion):
                scores = logits[start + i].double() / temperature
                scores[[b for b in banned if b != token]] = -torch.inf
                found.append(scores.log_softmax(-1)[token])
    return torch.stack(found)


def computed(model, layout, temperature=1.0, banned=None):
    rows = lay_out(GROUPS, layout, 0, CPU)
    return completion_logprobs(model, rows, layout, temperature, banned)


@pytest.mark.parametrize("layout", Layout)
def test_tokens_that_are_never_sampled_have_no_part_in_the_distribution(model, layout):
    banned = [0, 6, 200, *range(100, 180)]  # 6, 100 and 200 are in completions, as a peer may write them
    with torch.no_grad():
        expected, free = reference(model, 0.6, banned), reference(model, 0.6)
        found, entropy = computed(model, layout, 0.6, torch.tensor(banned))
    assert (found - expected).abs().max() < 1e-4
    assert (expected > free).all()
    assert ((entropy > 0) & (entropy < torch.tensor(239.0).log())).all()


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_agree_with_one_completion_at_a_time(model, layout, temperature):
    with torch.no_grad():
        expected = reference(model, temperature)
        found, entropy = computed(model, layout, temperature)
    assert expected.std() > 0.5
    assert (found - expected).abs().max() < 1e-4
    assert entropy.shape == found.shape == (18,)
    assert ((entropy > 0) & (entropy < torch.tensor(320.0).log())).all()


@pytest.mark.parametrize("layout", Layout)
def test_gradients_agree_with_one_completion_at_a_time(model, layout):
    weights = torch.linspace(-1, 1, 18)
    (reference(model) * weights).sum().backward()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    (computed(model, layout)[0] * weights).sum().backward()
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert (parameter.grad - gradient).abs().max() <= 1e-4 * max(1.0, float(gradient.abs().max()))


@pytest.mark.parametrize("layout", [Layout.PACKED, Layout.PADDED])
@pytest.mark.parametrize("reduced", [False, True])
def test_chunks_change_neither_values_nor_gradients(model, layout, reduced, monkeypatch):
    def run():
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=reduced):
            found, entropy = computed(model, layout)
        (found * torch.linspace(-1, 1, 18)).sum().backward()
        return found.detach(), entropy, [p.grad.clone() for p in model.parameters()]

    whole = run()
    monkeypatch.setattr(logprobs, "CHUNK_LOGITS", 5 * 320)
    chunked = run()
    tolerance = 3e-2 if reduced else 1e-5
    assert whole[0].dtype == chunked[0].dtype == torch.float32
    torch.testing.assert_close(chunked[0], whole[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(chunked[1], whole[1], rtol=0, atol=1e-5)
    for found, expected in zip(chunked[2], whole[2], strict=True):
        assert (found - expected).abs().max() <= tolerance * max(1.0, float(expected.abs().max()))


def test_reduced_precision_is_near(model):
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = computed(model, Layout.PACKED)
    with torch.no_grad():
        expected, _ = computed(model, Layout.PACKED)
    assert 0 < (found - expected).abs().max() < 0.3


def test_a_group_without_tokens_has_no_logprobs(llama):
    for layout in Layout:
        rows = lay_out([TokenGroup((5, 6), ((), ()))], layout, 0, CPU)
        found, entropy = completion_logprobs(llama, rows, layout, 1.0)
        assert found.shape == entropy.shape == (0,)
