"""Keeps secrets out of configurations: everyone in the shared folder reads what is stored there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from swarm_ray.config.schema import Section, SwarmConfig, dotted_keys
from swarm_ray.errors import ConfigError

OWN_KEYS = frozenset(key.rpartition(".")[2] for key in dotted_keys(SwarmConfig))
"""Our own fields may say "token" and mean those of a language model."""
HIDDEN = "(hidden)"
SHOWN = 60

_VALUES = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"hf_[A-Za-z0-9]{12,}"  # Hugging Face
    r"|sk-[A-Za-z0-9_-]{16,}"  # OpenAI, Anthropic and others
    r"|gh[opsru]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}"  # GitHub, GitLab
    r"|(?:AKIA|ASIA)[A-Z0-9]{12,}"  # Amazon
    r"|AIza[\w-]{30,}|ya29\.[\w-]{16,}"  # Google
    r"|wandb_v\d+_\w{16,}|xox[abprs]-[\w-]{10,}"  # Weights & Biases, Slack
    r")"
    # An older Weights & Biases key; after / or @ the same 40 digits are a commit of a model's repository.
    r"|(?<![0-9A-Za-z/\\@])[0-9a-f]{40}(?![0-9A-Za-z])"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|://[^/\s:@]*:[^/\s@]+@"  # user:password in a URL
    r"|[?&][^=&\s]*(?i:token|secret|passw|api_?key|signature|credential)[^=&\s]*=",
)
_KEYS = re.compile(r"token|secret|passw(or)?d|passphrase|api_?key|access_?key|private_?key|credential")


def refuse_secrets(data: object, where: str = "") -> None:
    """Look for secrets everywhere in a configuration, nested options included.

    Args:
        data: The configuration, or the values that are to become one.
        where: The file that they are of, for errors.

    Raises:
        ConfigError: There is one; the message names its key and never its value.
    """
    for key, name, value in _leaves(data, ""):
        named = name not in OWN_KEYS and names_secret(name)
        if named or (isinstance(value, str) and _VALUES.search(value)):
            raise ConfigError(
                f"{where + ': ' if where else ''}{key or 'a key'}: this looks like a secret, and a configuration is "
                "stored where others read it; leave it out and set an environment variable (HF_TOKEN, WANDB_API_KEY) "
                "instead"
            )


def names_secret(name: str) -> bool:
    """Whether a key is one under which people keep secrets."""
    return _KEYS.search(name.lower().replace("-", "_")) is not None


def shown(value: object) -> str:
    """A value as a message may show it: on one line, short, and hidden where it looks like a secret."""
    text = repr(value)
    if _VALUES.search(text) or (not isinstance(value, (int, float)) and _KEYS.search(text.lower())):
        return HIDDEN
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def without_secrets(text: str) -> str:
    """A message on one line, with what looks like a token hidden and without control characters."""
    printable = "".join(c if c.isprintable() else " " for c in _VALUES.sub(HIDDEN, text))
    return " ".join(printable.split())


def _leaves(data: object, key: str) -> Iterable[tuple[str, str, object]]:
    """Every key and value below `data`: where it stands, its own name, and the value."""
    if isinstance(data, Section):
        data = data.model_dump()
    if isinstance(data, Mapping):
        for name, value in data.items():
            text = str(name)
            place = key if _VALUES.search(text) else f"{key}.{text}".lstrip(".")
            yield place, text, text
            yield from _leaves(value, place)
    elif isinstance(data, (list, tuple, set, frozenset)):
        for index, item in enumerate(data):
            yield from _leaves(item, f"{key}[{index}]")
    else:
        yield key, "", data
