"""The command that checks a folder before a swarm uses it: doctor."""

from __future__ import annotations

import argparse

from drive_store import Store
from drive_store.doctor import FAIL, ROUNDS, WAIT_S, Findings, examine, findings_text
from swarm_ray.cli.options import add_json, add_root
from swarm_ray.cli.output import DONE, FAILED, complain, json_text, layout, write
from swarm_ray.cli.parser import Parser
from swarm_ray.errors import UserError


def define_doctor(command: Parser) -> None:
    """Options of `doctor`."""
    add_root(command)
    command.add_argument(
        "--pair", metavar="NAME", help="measure with another machine, where the same is started"
    )
    command.add_argument(
        "--rounds", metavar="N", default=str(ROUNDS), help=f"files to exchange (default: {ROUNDS})"
    )
    command.add_argument(
        "--wait",
        metavar="SECONDS",
        default=f"{WAIT_S:g}",
        help=f"how long the other machine, and each of its files, is waited for (default: {WAIT_S:g})",
    )
    add_json(command)
    command.set_defaults(words="")


def doctor(arguments: argparse.Namespace) -> int:
    """Say whether a swarm can run over a folder."""
    findings: Findings = examine(
        Store(arguments.root),
        pair_name=arguments.pair,
        rounds=_whole(arguments.rounds, "--rounds"),
        wait_s=_whole(arguments.wait, "--wait"),
        say=complain,
    )
    width, _ = layout()
    write(json_text(findings) if arguments.json else findings_text(findings, width=width))
    return FAILED if findings.level == FAIL else DONE


def _whole(text: str, option: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:9]) > 0 and len(text) < 9):
        raise UserError(f"{option}: {text!r} is not possible; it must be a whole number above 0")
    return int(text)
