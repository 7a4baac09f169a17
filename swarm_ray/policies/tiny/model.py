"""The embedded model: a Llama of about a quarter of a million parameters, and a tokenizer trained on the questions.

Both are made in code from the experiment's own questions, so that nothing is downloaded. Boilerplate phrases of the
questions become single tokens and digits stay single, which keeps a prompt under 16 tokens.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterable

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from swarm_ray.policies.transformers_models import CausalModel, TextTokenizer, llama, wrap_tokenizer

PAD, EOS, QUESTION, ANSWER, UNKNOWN = "<pad>", "<eos>", "<q>", "<a>", "<unk>"
SPECIALS = (PAD, EOS, QUESTION, ANSWER, UNKNOWN)
PROMPT_TEMPLATE = QUESTION + "{question}" + ANSWER
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    + ANSWER
    + "{{ message['content'] }}"
    + EOS
    + "{% else %}"
    + QUESTION
    + "{{ message['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}"
    + ANSWER
    + "{% endif %}"
)
"""The same prompt as a chat template in the model's folder: a question by the user, the answer by the assistant."""


def build_tokenizer(texts: Iterable[str]) -> TextTokenizer:
    """A BPE tokenizer over printable ASCII and newline, trained on question texts only.

    A byte alphabet would let single invalid UTF-8 bytes be sampled, which change when decoded text is encoded again.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[0-9]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    trainer = trainers.BpeTrainer(
        vocab_size=2048,
        min_frequency=60,
        special_tokens=list(SPECIALS),
        initial_alphabet=[*string.printable[:95], "\n"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return wrap_tokenizer(tokenizer, pad=PAD, eos=EOS, unk=UNKNOWN, extra=(QUESTION, ANSWER))


def build_model(tokenizer: TextTokenizer, seed: int) -> CausalModel:
    """A fresh model on the CPU in float32, initialised from `seed` alone.

    Embeddings N(0, 0.02), matrices N(0, 1/sqrt(fan in)), output matrices a further 1/sqrt(2 layers) smaller.
    """
    layers = 2
    model = llama(
        vocab_size=len(tokenizer),
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim < 2:  # RMSNorm gains stay at one
                continue
            std = 0.02 if "embed_tokens" in name else 1 / math.sqrt(parameter.shape[1])
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                std /= math.sqrt(2 * layers)
            parameter.normal_(0.0, std, generator=stream)
    return model
