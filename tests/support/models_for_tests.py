"""Small models of three architectures with random weights, and a tokenizer made in code."""

from pathlib import Path

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VOCABULARY = 320


def _sharpened(model: torch.nn.Module) -> torch.nn.Module:
    """Larger weights, so that tokens matter to each other and likelihoods are far from uniform."""
    stream = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.15, generator=stream)
    return model.eval()


def make_model(architecture: str, **changes: object) -> torch.nn.Module:
    sizes: dict[str, object] = {"vocab_size": VOCABULARY, "bos_token_id": None, "eos_token_id": 3}
    if architecture == "gpt2":
        sizes |= {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
        return _sharpened(hf.GPT2LMHeadModel(hf.GPT2Config(**sizes | changes)))
    sizes |= {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "max_position_embeddings": 128}
    if architecture == "llama":
        return _sharpened(hf.LlamaForCausalLM(hf.LlamaConfig(**sizes | changes)))
    return _sharpened(hf.Qwen2ForCausalLM(hf.Qwen2Config(tie_word_embeddings=True, **sizes | changes)))


def make_tokenizer(**settings: object) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes and of a few words, without a chat template; `<|endoftext|>` is 3, padding 0."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["Question: what is 12 plus 30? Answer: 42"] * 9, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        **settings,
    )


def save_model(
    folder: Path,
    architecture: str = "llama",
    *,
    tokenizer: PreTrainedTokenizerFast | None = None,
    chat: bool = True,
    **changes: object,
) -> Path:
    """Write a model and its tokenizer as `save_pretrained` does; answers the folder."""
    make_model(architecture, **changes).save_pretrained(folder)
    tokenizer = tokenizer or make_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE if chat else None
    tokenizer.save_pretrained(folder)
    return folder
