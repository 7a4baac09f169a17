"""The command `doctor`: checks a folder before a swarm uses it."""

from __future__ import annotations

import argparse

from drive_store import Store
from drive_store.doctor import FAIL, ROUNDS, WAIT_S, Findings, examine, findings_text
from swarm_ray.cli.arguments import Parser, add_json, add_root, whole_number
from swarm_ray.cli.output import DONE, FAILED, complain, show
from swarm_ray.config.yaml import parse_scalar


def define_doctor(command: Parser) -> None:
    """Options of `doctor`."""
    add_root(command)
    command.add_argument(
        "--pair", metavar="NAME", help="measure with another machine, which runs the same command"
    )
    command.add_argument(
        "--rounds", metavar="N", default=str(ROUNDS), help=f"files to exchange (default: {ROUNDS})"
    )
    command.add_argument(
        "--wait",
        metavar="SECONDS",
        default=f"{WAIT_S:g}",
        help=f"how long to wait for the other machine, and for each of its files (default: {WAIT_S:g})",
    )
    add_json(command)


def doctor(arguments: argparse.Namespace) -> int:
    """Check whether a swarm can run over a folder."""
    findings = examine(
        Store(arguments.root),
        pair_name=arguments.pair,
        rounds=whole_number("--rounds", parse_scalar(arguments.rounds, "--rounds")),
        wait_s=whole_number("--wait", parse_scalar(arguments.wait, "--wait")),
        say=complain,
    )
    show(findings, _text, as_json=arguments.json)
    return FAILED if findings.level == FAIL else DONE


def _text(findings: Findings, *, width: int, styled: bool) -> str:  # noqa: ARG001  findings are plain text
    return findings_text(findings, width=width)
