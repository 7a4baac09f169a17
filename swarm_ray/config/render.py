"""Writes a configuration for people: YAML in which every key has its meaning as a comment above it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from swarm_ray.config.base import Section
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.config.secrets import refuse_secrets
from swarm_ray.config.yaml import MAX_BYTES, dump
from swarm_ray.errors import ConfigError

WIDTH = 100
INDENT = "  "


def render_yaml(config: SwarmConfig) -> str:
    """The whole configuration as YAML, which loads back to an equal one.

    The comments are the docstrings of the fields and sections, wrapped at 100 characters.

    Raises:
        ConfigError: A secret is in it, or it is larger than any reader accepts.
    """
    refuse_secrets(config)
    text = "\n".join(_lines(config, "")) + "\n"
    if len(text.encode()) > MAX_BYTES:
        raise ConfigError(
            f"the configuration is larger than {MAX_BYTES // 1024} KiB; shorten its texts or options"
        )
    return text


def _lines(section: Section, indent: str) -> Iterator[str]:
    """The lines of a section; a blank one parts nested sections from what precedes them."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield ""
            yield from _comment(type(value).__doc__ or "", indent)
            yield f"{indent}{name}:"
            yield from _lines(value, indent + INDENT)
        else:
            yield from _comment(field.description or "", indent)
            plain = section.model_dump(mode="json", include={name})
            yield textwrap.indent(dump(plain), indent).removesuffix("\n")


def _comment(text: str, indent: str) -> list[str]:
    """The text as comment lines."""
    start = f"{indent}# "
    return textwrap.wrap(
        " ".join(text.split()),
        width=WIDTH,
        initial_indent=start,
        subsequent_indent=start,
        break_long_words=False,
        break_on_hyphens=False,
    )
