"""Writes the reference pages of the documentation: every command, and every key of the configuration.

`python docs/write_reference.py docs` writes `configuration.md` and `commands.md` into that folder; a test fails while
they differ from the code.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from swarm_ray.cli.arguments import Command, Parser, define
from swarm_ray.cli.main import COMMANDS
from swarm_ray.config.diff import CHANGEABLE_FIELDS, LOCAL_FIELDS
from swarm_ray.config.schema import Section, SwarmConfig

NOTICE = "<!-- Written by `make docs` from the code; edit the docstrings there. -->\n"


def configuration_page() -> str:
    """Every key with its type, default and meaning, a table for each section, as Markdown."""
    sections = "\n".join(_section(SwarmConfig, "", "A whole swarm"))
    return f"""# Every configuration key

{NOTICE}
A key is set as `key=value` on the command line or in `overrides=[...]`, or in a YAML file that is given by `--config`;
keys of a section are written with a dot (`grpo.learning_rate=1e-4`). `swarm-ray config --preset paper` prints a whole
configuration with the values of that preset. The defaults below are those before any preset.

- **own**: each machine may have its own value; all other keys hold for the whole swarm.
- **may change**: may be changed when an experiment is resumed.

{sections}"""


def commands_page() -> str:
    """Every command with its options, as Markdown."""
    parts = [_command(command) for command in COMMANDS]
    return (
        f"""# Every command

{NOTICE}
Each says the same when it is given `--help`. Exit status: 0 done, 1 a node or actor failed, 2 a mistake in the command,
3 nothing was learned, 130 interrupted.

{"".join(parts)}""".rstrip()
        + "\n"
    )


def _section(section: type[Section], prefix: str, title: str) -> Iterator[str]:
    fields = section.model_fields
    nested = {name: f.annotation for name, f in fields.items() if _is_section(f.annotation)}
    yield f"## {title}\n"
    yield f"{_cell(section.__doc__ or '')}\n"
    yield "| key | value | default | meaning |\n|---|---|---|---|"
    for name, field in fields.items():
        if name not in nested:
            key = f"{prefix}{name}"
            marks = [mark for mark, holds in (("own", _own(key)), ("may change", _changes(key))) if holds]
            mark = f" *({', '.join(marks)})*" if marks else ""
            default = _default(field.get_default(call_default_factory=True))
            meaning = _cell(field.description or "")
            yield f"| `{key}` | {_type(field.annotation)} | {default} | {meaning}{mark} |"
    yield ""
    for name, kind in nested.items():
        assert isinstance(kind, type)
        yield from _section(kind, f"{prefix}{name}.", f"`{prefix}{name}`")


def _is_section(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _own(key: str) -> bool:
    return key in LOCAL_FIELDS


def _changes(key: str) -> bool:
    return key not in LOCAL_FIELDS and key.startswith(CHANGEABLE_FIELDS)


def _type(annotation: Any) -> str:
    """What may be written, in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin is Annotated:
        return _type(inner[0])
    if origin in {Union, UnionType}:
        return " or ".join(_type(kind) for kind in inner)
    words = {int: "whole number", float: "number", str: "text", bool: "`true` or `false`", NoneType: "`null`"}
    return words.get(annotation) or {tuple: "list", dict: "mapping"}[origin]


def _default(value: object) -> str:
    if isinstance(value, tuple) and value:
        return "the set `easy`"
    if value in ("", (), {}):
        return "empty"
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


def _command(command: Command) -> str:
    parser = Parser(prog=f"swarm-ray {command.name}", add_help=False)
    define(parser, command)
    table = "\n".join(["| argument | meaning |", "|---|---|", *_rows(parser)])
    what = f"{command.what[0].upper()}{command.what[1:]}"
    return f"## swarm-ray {command.name}\n\n{what}.\n\n{table}\n\n"


def _rows(parser: argparse.ArgumentParser) -> Iterator[str]:
    """A row for each option, and for a command within a command the rows of that."""
    for action in parser._actions:  # noqa: SLF001  argparse has no other list of them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for name, inner in action.choices.items():
                yield f"| **{name}** | {inner.description} |"
                yield from _rows(inner)
        elif not isinstance(action, argparse._HelpAction):  # noqa: SLF001
            yield _option(action)


def _option(action: argparse.Action) -> str:
    shown = action.option_strings[0] if action.option_strings else ""
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    value = "" if action.nargs == 0 else metavar
    many = " ..." if action.nargs in {"*", "+"} else ""
    needed = " *(needed)*" if action.required and action.option_strings else ""
    return f"| `{' '.join(filter(None, (shown, value)))}{many}` | {_cell(action.help or '')}{needed} |"


def _cell(text: str) -> str:
    """Text on one line that does not end a cell of a table, and has no markup outside backticks."""
    line = " ".join(text.split()).replace("|", "\\|")
    return re.sub(r"`[^`]*`|<", lambda found: "&lt;" if found[0] == "<" else found[0], line)


def write_pages(folder: Path) -> None:
    """Write both pages."""
    (folder / "configuration.md").write_text(configuration_page())
    (folder / "commands.md").write_text(commands_page())


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
