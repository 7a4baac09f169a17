"""Loading a causal language model and its tokenizer by Hugging Face name or folder.

Weights are read from safetensors alone, and no code of a repository is run. What fails because of the name
becomes a `ModelError` of one line that says what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from safetensors import SafetensorError

from swarm_ray.errors import ModelError
from swarm_ray.policies.policy import LanguageModel
from swarm_ray.policies.prompts import prompt_format, turn_end
from swarm_ray.policies.transformers_models import (
    CausalModel,
    TextTokenizer,
    is_causal_config,
    read_config,
    read_model,
    read_tokenizer,
    text_setting,
)

_FAILURES = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ImportError,
    SafetensorError,
)
"""What transformers raises over a name or the files behind it."""


def load_config(name: str) -> Any:
    """The model's transformers configuration; reads no weights.

    Raises:
        ModelError: no model of this name, or not a causal language model that can be trained.
    """
    with _one_line(name):
        config = read_config(_place(name))
    if not is_causal_config(config):
        raise ModelError(
            f"policy.model={name!r} is a {getattr(config, 'model_type', '?')} model, not a causal language model; "
            "choose one for text generation"
        )
    if getattr(config, "quantization_config", None):
        raise ModelError(
            f"policy.model={name!r} is quantized, and such weights cannot be trained; choose its original"
        )
    return config


def load_huggingface(name: str, system_prompt: str = "") -> LanguageModel:
    """The model of this name with float32 weights on the CPU, in eval mode, and its tokenizer.

    The tokenizer has a padding token; where it came without, that is its end-of-sequence token.

    Args:
        name: `policy.model`.
        system_prompt: opens every prompt that has none of its own.

    Raises:
        ModelError: the model or its tokenizer cannot be loaded; one line that says what to do.
    """
    load_config(name)
    with _one_line(name):
        model, missing = read_model(_place(name))
    if missing:
        raise ModelError(
            f"policy.model={name!r}: its files lack {len(missing)} of its weights ({missing[0]}, say); "
            "choose a checkpoint for text generation"
        )
    with _one_line(name, what="tokenizer"):
        tokenizer = read_tokenizer(_place(name))
    vocabulary = range(int(text_setting(model, "vocab_size")))
    ends = _end_tokens(model, tokenizer, vocabulary)
    if not ends:
        raise ModelError(f"policy.model={name!r} has no end-of-sequence token; choose a model that has one")
    if tokenizer.pad_token_id not in vocabulary:
        tokenizer.pad_token_id = ends[-1]
    model.eval()
    banned = _unspeakable_tokens(model, tokenizer, vocabulary, ends)
    return LanguageModel(model, tokenizer, prompt_format(tokenizer, system_prompt), ends, banned)


def _end_tokens(model: CausalModel, tokenizer: TextTokenizer, vocabulary: range) -> tuple[int, ...]:
    """The tokens that end a completion, the one that a finished text of another node is closed with first.

    They are the chat template's end of a turn, the tokenizer's end of sequence, and those of the generation
    configuration.
    """
    named = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = named if isinstance(named, (list, tuple)) else [named]
    found = [turn_end(tokenizer), tokenizer.eos_token_id, *listed]
    return tuple(dict.fromkeys(int(i) for i in found if i in vocabulary))


def _unspeakable_tokens(
    model: CausalModel, tokenizer: TextTokenizer, vocabulary: range, ends: tuple[int, ...]
) -> tuple[int, ...]:
    """Tokens never to be sampled, unless they end a completion.

    They are padding, ids that the tokenizer lacks, and what the generation configuration suppresses.
    """
    named = getattr(getattr(model, "generation_config", None), "suppress_tokens", None) or ()
    banned = (tokenizer.pad_token_id, *vocabulary[len(tokenizer) :], *map(int, named))
    return tuple(dict.fromkeys(i for i in banned if i in vocabulary and i not in ends))


def _place(name: str) -> str:
    """The name, or the folder it means; refuses what is plainly a path and no model folder."""
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(
                f"policy.model={name!r} is a folder without config.json; put one of save_pretrained there"
            )
        return str(path)
    if path.exists():
        raise ModelError(
            f"policy.model={name!r} is a file; name the folder that holds config.json and safetensors"
        )
    if name.startswith(("/", "./", "../", "~")) or name.count("/") > 1:
        raise ModelError(f"policy.model={name!r}: no such folder; check the path")
    return name


@contextmanager
def _one_line(name: str, what: str = "model") -> Iterator[None]:
    """Turn what fails over a name into a `ModelError`, the bare `Exception` of tokenizers too."""
    try:
        yield
    except Exception as error:
        if type(error) is not Exception and not isinstance(error, _FAILURES):
            raise
        raise ModelError(f"policy.model={name!r}: {_advice(error, name, what)}") from error


def _advice(error: BaseException, name: str, what: str) -> str:
    causes, text = list(_chain(error)), " ".join(str(error).split())
    known = [advice for kinds, advice in _BY_CAUSE if any(isinstance(cause, kinds) for cause in causes)]
    known += [advice for words, advice in _BY_TEXT if words in text]
    if known:
        return known[0].format(name=name)
    cause = f"{type(error).__name__}: {text[:200]}"
    return f"the {what} cannot be loaded ({cause}); check its files or choose another model"


_BY_CAUSE: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    (
        (GatedRepoError,),
        "access is gated; accept its terms at https://huggingface.co/{name} and set HF_TOKEN",
    ),
    (
        (RepositoryNotFoundError,),
        "huggingface.co has no such model; check the spelling, and set HF_TOKEN if it is private",
    ),
    ((HFValidationError,), "neither a folder nor a Hugging Face name (owner/name); check the spelling"),
    (
        (LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError, TimeoutError),
        "not on this machine, and huggingface.co cannot be reached; go online, or name a local folder",
    ),
)
"""Most telling first: a gated repository is also one that is not found."""
_BY_TEXT = (
    (
        "does not recognize this architecture",
        "this version of transformers does not know its architecture; upgrade transformers or choose another",
    ),
    (
        "ignore_mismatched_sizes",
        "its weights have other shapes than its config.json says; choose another checkpoint",
    ),
    (
        "model.safetensors",
        "it has no safetensors weights, and pickled ones are never read; choose one with model.safetensors",
    ),
    (
        "trust_remote_code",
        "it needs code of its own, which is never run; choose a model that transformers itself knows",
    ),
)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
