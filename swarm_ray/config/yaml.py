"""YAML as configurations have it: read safely, without the surprises of YAML 1.1; written with every key's meaning.

A configuration may come from a stranger's shared folder, so anchors, aliases and tags are refused (a few
lines of aliases can stand for gigabytes), and so are deep nesting and large files. `1e-3` is a number here,
and `off` is a text: it is a value of `policy.packing`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from swarm_ray.config.schema import Section
from swarm_ray.config.secrets import refuse_secrets, without_secrets
from swarm_ray.errors import ConfigError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
WIDTH = 100

_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+"
    r"|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"
)
_SCALARS = (
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), ["t", "T", "f", "F"]),
    ("float", _FLOAT, list("-+.0123456789")),
    # Longer numbers stay texts: Python takes its time to read thousands of digits, and no field wants them.
    ("int", re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,24})$"), list("-+0123456789")),
    ("null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
)


class Loader(yaml.SafeLoader):
    """Plain scalars, lists and mappings; each key once; nothing that refers to something else."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  (PyYAML's own way)
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose one node after a look at it, so that an alias is never followed."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        named = getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None
        if isinstance(event, yaml.AliasEvent) or named:
            raise _refused(
                "anchors, aliases and tags (&, *, !) have no place here; put quotes around a text", event
            )
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _refused(f"nested deeper than {MAX_DEPTH}", event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping without duplicate keys, of which the earlier one would be ignored silently."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise _refused(f"the key {key.value} is given twice", key)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


class Dumper(yaml.SafeDumper):
    """Writes what `Loader` reads back equal; texts that any YAML reader could misread are quoted."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  (PyYAML calls it so)
        """Write equal parts out each time: references are refused when read."""
        return True


def parse(text: str, where: str) -> object:
    """Parse one YAML document.

    Args:
        text: The document.
        where: The file or key to name in errors.

    Raises:
        ConfigError: It is malformed or holds what is not allowed; with the line number.
    """
    try:
        return yaml.load(text, Loader)  # noqa: S506  (a `SafeLoader`)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, problem = mark.line + 1 if mark else 1, error.problem or error.context
    except yaml.reader.ReaderError as error:
        line, problem = text.count("\n", 0, error.position) + 1, "a character that YAML does not allow"
    raise ConfigError(without_secrets(f"{where}, line {line}: {problem}"))


def parse_scalar(text: str, where: str) -> object:
    """Parse the value of an override: a list, a mapping or a quoted text as YAML, anything else as it stands.

    So a colon or a `#` within a text needs no quotes: `policy.system_prompt=Answer: a number`.

    Raises:
        ConfigError: It begins like a list, a mapping or a quoted text and is malformed.
    """
    text = text.strip()
    if text[:1] in {"[", "{", '"', "'"}:
        return parse(text, where)
    if not text:
        return ""
    loader = Loader("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return loader.construct_object(yaml.ScalarNode(tag, text))


def parse_mapping(data: bytes, where: str) -> dict[str, Any]:
    """Parse the bytes of a configuration.

    Args:
        data: UTF-8 text of at most `MAX_BYTES`; an empty one is an empty mapping.
        where: The file to name in errors.

    Raises:
        ConfigError: It is too large, malformed, not UTF-8, or not a mapping of keys.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{where}: larger than {MAX_BYTES // 1024} KiB, which no configuration is")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{where}, line {line}: not valid UTF-8; save the file as UTF-8") from None
    content = parse(text, where)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{where}: a configuration is a mapping of keys, such as `rounds: 100`")
    for key in content:
        if not isinstance(key, str):
            raise ConfigError(without_secrets(f"{where}: the key {key} is not text"))
    return content


def read_bytes(path: Path) -> bytes:
    """Read a user's file, or a little more than `parse_mapping` takes.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a user's configuration file.

    Raises:
        ConfigError: It cannot be read, or `parse_mapping` refuses it.
    """
    return parse_mapping(read_bytes(path), str(path))


def render_yaml(config: Section) -> str:
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
            yield from _lines(value, f"{indent}  ")
        else:
            yield from _comment(field.description or "", indent)
            plain = section.model_dump(mode="json", include={name})
            text = yaml.dump(plain, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)
            yield textwrap.indent(text, indent).removesuffix("\n")


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


def _refused(problem: str, place: yaml.Event | yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, place.start_mark)  # type: ignore[arg-type]


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """A text of several lines as a block, where that needs no marks for blanks at its ends.

    Double quotes keep the rest as it is, line breaks other than the usual one among it.
    """
    style = None
    if breaks := set(text) & set("\n\x85\u2028\u2029"):
        style = "|" if breaks == {"\n"} and text == text.strip() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


for _kind, _pattern, _first in _SCALARS:
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", _pattern, _first)
Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
Dumper.add_representer(str, _write_text)
