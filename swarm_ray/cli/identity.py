"""The command `identity`: make a node's key, show it, or import one of RL Swarm."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarm_ray.cli.arguments import Parser, add_json
from swarm_ray.cli.output import DONE, complain, complain_of, json_text, write
from swarm_ray.errors import IdentityError
from swarm_ray.formatting import clean

if TYPE_CHECKING:
    from swarm_ray.identity import Identity

_KINDS = {"ed25519": "Ed25519", "rsa": "RSA"}


def define_identity(command: Parser) -> None:
    """Options of `identity`."""
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = _action(actions, "new", "make a new key")
    new.add_argument("name", metavar="NAME", help="the node's id")
    show = _action(actions, "show", "show a key's peer id and animal name")
    show.add_argument("name", metavar="NAME", nargs="?", help="the node's id (default: all)")
    add_json(show)
    taken = _action(actions, "import", "import a key of RL Swarm or hivemind")
    taken.add_argument("source", metavar="FILE", help="RL Swarm's swarm.pem; it is copied, not moved")
    taken.add_argument("name", metavar="NAME", help="the id of its node here")
    for action in (new, show, taken):
        action.add_argument(
            "--folder",
            metavar="DIR",
            type=Path,
            help="the folder of keys (default: $SWARM_RAY_IDENTITIES, else this machine's own folder)",
        )
    for action in (new, taken):
        action.add_argument(
            "--shared", action="store_true", help="even in a shared folder, where others can read it"
        )


def _action(actions: Any, name: str, what: str) -> Parser:
    added: Parser = actions.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    return added


def identity(arguments: argparse.Namespace) -> int:
    """Make, show or import keys."""
    if arguments.action == "show":
        return _show(arguments)
    from swarm_ray.identity import identity_file, import_identity, new_identity

    path = identity_file(arguments.name, arguments.folder)
    if arguments.action == "new":
        made = new_identity(path, shared=arguments.shared)
    else:
        made = import_identity(Path(arguments.source), path, shared=arguments.shared)
    write(_card(arguments.name, made))
    if made.warning:
        complain(made.warning)
    return DONE


def _show(arguments: argparse.Namespace) -> int:
    """Show one identity, or all; those that cannot be read are reported."""
    from swarm_ray.identity import identities_folder, identity_file, identity_names, load_identity

    folder = arguments.folder or identities_folder()
    found: dict[str, Identity] = {}
    problems: list[str] = []
    for name in [arguments.name] if arguments.name else identity_names(folder):
        try:
            found[name] = load_identity(identity_file(name, folder))
        except IdentityError as error:
            if arguments.name:
                raise
            problems.append(str(error))
    problems += [one.warning for one in found.values() if one.warning]
    if arguments.json:
        rows = [_row(name, one) for name, one in found.items()]
        write(json_text(rows[0] if arguments.name else rows))
    elif found:
        write("\n".join(_card(name, one) for name, one in found.items()))
    elif not problems:
        write(
            f"no identities in {clean(str(folder))}; a named node makes its own, or `swarm-ray identity new NAME`\n"
        )
    complain_of(problems)
    return DONE


def _row(name: str, one: Identity) -> dict[str, str]:
    return {
        "name": name,
        "animal": one.animal,
        "peer_id": one.peer_id,
        "public_key": one.public_key,
        "kind": one.kind,
        "file": str(one.file),
        "warning": one.warning,
    }


def _card(name: str, one: Identity) -> str:
    """Lines of one identity; a peer id is never truncated, since people copy it."""
    lines = [
        ("animal", one.animal),
        ("peer id", one.peer_id),
        ("signs with", one.public_key),
        ("key", f"{_KINDS[one.kind]}, {clean(str(one.file))}"),
    ]
    return f"{name}\n" + "".join(f"  {what:<11}{value}\n" for what, value in lines if value)
