"""Commands before a run: create, config, doctor, identity."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from drive_store import Store
from drive_store.doctor import FAIL, ROUNDS, WAIT_S, examine, findings_text
from swarm_ray.cli.arguments import (
    ALGORITHM,
    JSON,
    OVERWRITE,
    ROOT,
    Command,
    configuration,
    import_from_here,
    option,
    overrides_of,
    whole_number,
)
from swarm_ray.cli.output import DONE, FAILED, complain, complain_of, json_text, show, write
from swarm_ray.config.load import config_hash, load_config, render_yaml
from swarm_ray.config.yaml import parse_scalar
from swarm_ray.errors import IdentityError
from swarm_ray.experiments.open import init_experiment
from swarm_ray.formatting import clean

if TYPE_CHECKING:
    from swarm_ray.identity import Identity

_KINDS = {"ed25519": "Ed25519", "rsa": "RSA"}


def create(arguments: argparse.Namespace) -> int:
    """Create an experiment that is run later."""
    import_from_here()
    config = init_experiment(
        arguments.root,
        arguments.experiment,
        arguments.preset,
        overrides_of(arguments),
        file=arguments.config,
        overwrite=arguments.overwrite,
    )
    write(
        f"{arguments.experiment} created in {arguments.root}: preset {config.preset}, {config.rounds} rounds, "
        f"I/J {config.local}/{config.external}, G {config.completions}, seed {config.seed}, "
        f"configuration {config_hash(config)}\n"
    )
    return DONE


def config(arguments: argparse.Namespace) -> int:
    """Print a whole configuration."""
    write(render_yaml(load_config(arguments.preset, arguments.config, overrides_of(arguments))))
    return DONE


def doctor(arguments: argparse.Namespace) -> int:
    """Check whether a swarm can run over a folder."""
    findings = examine(
        Store(arguments.root),
        pair_name=arguments.pair,
        rounds=whole_number("--rounds", parse_scalar(arguments.rounds, "--rounds")),
        wait_s=whole_number("--wait", parse_scalar(arguments.wait, "--wait")),
        say=complain,
    )
    show(findings, lambda found, width, **_: findings_text(found, width=width), as_json=arguments.json)
    return FAILED if findings.level == FAIL else DONE


def make_identity(arguments: argparse.Namespace) -> int:
    """Make a node's key, or import one."""
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


def show_identities(arguments: argparse.Namespace) -> int:
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
    lines = {
        "animal": one.animal,
        "peer id": one.peer_id,
        "signs with": one.public_key,
        "key": f"{_KINDS[one.kind]}, {clean(str(one.file))}",
    }
    return f"{name}\n" + "".join(f"  {what:<11}{value}\n" for what, value in lines.items() if value)


_NODE = option("name", metavar="NAME", help="the node's id")
_FOLDER = option(
    "--folder",
    metavar="DIR",
    type=Path,
    help="the folder of keys (default: $SWARM_RAY_IDENTITIES, else this machine's own folder)",
)
_SHARED = option("--shared", action="store_true", help="even in a shared folder, where others can read it")
COMMANDS = (
    Command(
        "create",
        "create an experiment to run later",
        create,
        (
            ROOT,
            option("experiment", metavar="EXPERIMENT", help="the name it will have"),
            OVERWRITE,
            *configuration("nodes", "expect", *ALGORITHM),
        ),
    ),
    Command("config", "print a whole configuration, with the meaning of every key", config, configuration()),
    Command(
        "doctor",
        "check whether a swarm can run over a folder, from one machine or two",
        doctor,
        (
            ROOT,
            option(
                "--pair", metavar="NAME", help="measure with another machine, which runs the same command"
            ),
            option(
                "--rounds", metavar="N", default=str(ROUNDS), help=f"files to exchange (default: {ROUNDS})"
            ),
            option(
                "--wait",
                metavar="SECONDS",
                default=f"{WAIT_S:g}",
                help=f"how long to wait for the other machine, and for each of its files (default: {WAIT_S:g})",
            ),
            JSON,
        ),
    ),
    Command(
        "identity",
        "make a node's key, show its peer id and animal name, or import one of RL Swarm",
        (
            Command("new", "make a new key", make_identity, (_NODE, _FOLDER, _SHARED)),
            Command(
                "show",
                "show a key's peer id and animal name",
                show_identities,
                (
                    option("name", metavar="NAME", nargs="?", help="the node's id (default: all)"),
                    JSON,
                    _FOLDER,
                ),
            ),
            Command(
                "import",
                "import a key of RL Swarm or hivemind",
                make_identity,
                (
                    option("source", metavar="FILE", help="RL Swarm's swarm.pem; it is copied, not moved"),
                    option("name", metavar="NAME", help="the id of its node here"),
                    _FOLDER,
                    _SHARED,
                ),
            ),
        ),
    ),
)
