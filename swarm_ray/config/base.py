"""What every part of the configuration has in common: frozen, closed, documented, and fit to be stored.

Apart from `swarm_ray.config.schema`, so that this one holds nothing but fields, their defaults and their meanings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeGuard

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
"""Names that become parts of paths, tables and messages."""


class Section(BaseModel):
    """Base of every part: frozen, unknown keys refused; docstrings under fields are their descriptions."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        allow_inf_nan=False,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true and false, which Python takes for 1 and 0, where no field wants them."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError(f"{str(value).lower()} is neither a number nor a text")
        return value


def is_section(annotation: object) -> TypeGuard[type[Section]]:
    """Whether a field's type is a section."""
    return isinstance(annotation, type) and issubclass(annotation, Section)


def dotted_keys(section: type[Section], prefix: str = "") -> tuple[str, ...]:
    """All keys of a section, those of the sections in it dotted: `rounds`, `grpo`, `grpo.learning_rate`."""
    keys: list[str] = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        if is_section(field.annotation):
            keys += dotted_keys(field.annotation, f"{prefix}{name}.")
    return tuple(keys)


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as sections: `{"grpo.beta1": 0.9}` as `{"grpo": {"beta1": 0.9}}`; of equal keys the last counts."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        section, dot, inner = str(key).partition(".")
        found = laid_over(found, {section: nested({inner: value}) if dot else value})
    return found


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`: sections key by key, everything else (lists and options too) as a whole."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            merged[key] = {**under, **value}
        else:
            merged[key] = value
    return merged


def plain_json(options: dict[str, Any]) -> dict[str, Any]:
    """Options as JSON has them: they are stored, hashed and handed to the scoring process in this form.

    Args:
        options: Of a data set; tuples become lists.

    Raises:
        ValueError: Something in it is neither a number, a text, true, false, null, a list nor a mapping of
            these, or is not finite.
    """
    try:
        text = json.dumps(options, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"only what JSON can hold is allowed here ({error})") from error
    plain: dict[str, Any] = json.loads(text)
    return plain
