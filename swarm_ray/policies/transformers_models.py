"""The thin typed door to transformers: the only module that calls its loosely typed constructors.

Its models take 2.5 CPU-seconds to import, so that is done where one is made or read.
"""

# ruff: noqa: D102 - the methods are documented by transformers

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class CausalModel(torch.nn.Module):
    """What Swarm Ray uses of a transformers causal language model, for the type checker; never made itself."""

    config: Any
    generation_config: Any
    base_model: Any
    """The model without its language-model head: what makes hidden states."""

    def get_output_embeddings(self) -> torch.nn.Module: ...  # type: ignore[empty-body]
    def save_pretrained(self, folder: Path, **options: Any) -> Any: ...


class TextTokenizer(Protocol):
    """What Swarm Ray uses of a transformers tokenizer."""

    pad_token_id: int
    eos_token_id: int
    all_special_ids: list[int]
    chat_template: Any

    def __len__(self) -> int: ...
    def encode(
        self, text: str, *, add_special_tokens: bool = True, split_special_tokens: bool | None = None
    ) -> list[int]: ...
    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str: ...
    def apply_chat_template(self, messages: list[dict[str, str]], **options: Any) -> Any: ...
    def save_pretrained(self, folder: Path) -> Any: ...


def llama(**sizes: Any) -> CausalModel:
    """A Llama with freshly initialised weights, float32, on the CPU."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return cast("CausalModel", LlamaForCausalLM(LlamaConfig(**sizes)))


def wrap_tokenizer(
    tokenizer: Tokenizer, *, pad: str, eos: str, unk: str, extra: tuple[str, ...]
) -> TextTokenizer:
    """A transformers tokenizer around a `tokenizers` one; decoding leaves spaces as they are."""
    from transformers import PreTrainedTokenizerFast

    wrapped = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=pad,
        eos_token=eos,
        unk_token=unk,
        additional_special_tokens=list(extra),
        clean_up_tokenization_spaces=False,
    )
    return cast("TextTokenizer", wrapped)


def read_config(name: str) -> Any:
    """The configuration of a model by folder or Hugging Face name; runs no code of the repository."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(name, trust_remote_code=False)


def is_causal_config(config: Any) -> bool:
    """Whether transformers has a causal language model for this configuration."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    return type(config) in MODEL_FOR_CAUSAL_LM_MAPPING


def read_model(name: str) -> tuple[CausalModel, tuple[str, ...]]:
    """The model in float32 on the CPU, from safetensors alone, and the weights that its files lack."""
    from transformers import AutoModelForCausalLM

    # Without it, transformers asks a public service to convert a repository that has no safetensors.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        name, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    model, info = loaded
    return cast("CausalModel", model), tuple(sorted(map(str, info["missing_keys"])))


def read_tokenizer(name: str) -> TextTokenizer:
    """The tokenizer by folder or Hugging Face name; decoding leaves spaces as they are."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    tokenizer.clean_up_tokenization_spaces = False
    return cast("TextTokenizer", tokenizer)


def save_decoding(
    model: CausalModel,
    folder: Path,
    *,
    eos_ids: Sequence[int],
    pad_id: int,
    banned_ids: Sequence[int],
    temperature: float,
    max_new_tokens: int,
) -> None:
    """Write the `generation_config.json` with which `generate` samples as a node does: over the whole vocabulary."""
    from transformers import GenerationConfig

    GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=text_setting(model, "bos_token_id"),
        eos_token_id=list(eos_ids),
        pad_token_id=pad_id,
        suppress_tokens=list(banned_ids) or None,
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        max_new_tokens=max_new_tokens,
    ).save_pretrained(folder)


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """No bars of transformers on the terminal; as they were afterwards."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def count_parameters(config: Any) -> int:
    """Parameters of the model of this configuration, tied ones once; no weight is allocated."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    return sum(p.numel() for p in model.parameters())


def text_setting(model: CausalModel, name: str) -> Any:
    """A setting of the language model's configuration (of its text part where it has several), or None."""
    return getattr(model.config.get_text_config(), name, None)


def context_length(model: CausalModel) -> int | None:
    """The longest sequence the model has positions for, in tokens; None where it has no such limit."""
    length = text_setting(model, "max_position_embeddings")
    return int(length) if length else None


def attention_window(model: CausalModel) -> int | None:
    """How far back some layer of the model sees, in tokens, where that is less than its context."""
    window = text_setting(model, "sliding_window") or text_setting(model, "attention_chunk_size")
    context = context_length(model)
    return int(window) if window and (context is None or window < context) else None


def named_inputs(module: Any, **inputs: Any) -> dict[str, Any]:
    """The inputs without the optional ones that this architecture's forward does not name."""
    known = _parameter_names(type(module).forward)
    return {key: value for key, value in inputs.items() if key in known or key not in _OPTIONAL}


_OPTIONAL = frozenset({"position_ids", "logits_to_keep"})


@lru_cache(maxsize=64)
def _parameter_names(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)
