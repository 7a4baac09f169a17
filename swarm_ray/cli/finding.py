"""The command `peers`: who is to be found in a folder, and how each can be reached."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from swarm_ray.cli.options import add_json, add_root
from swarm_ray.cli.output import DONE, json_text, layout, write
from swarm_ray.cli.parser import Parser
from swarm_ray.experiments.read.peers import FoundPeer, FoundPeers, found_peers
from swarm_ray.formatting import NOTHING, duration, grid

_HEADS = ("node", "experiment", "role", "state", "reach", "seen", "addresses")
_NAMED = 9


def define_peers(command: Parser) -> None:
    """Options of `peers`."""
    add_root(command)
    command.add_argument("--experiment", metavar="NAME", help="nodes of this one only (default: of all)")
    command.add_argument(
        "--clean",
        action="store_true",
        help="first remove the records of nodes that have left, and those of experiments that have ended",
    )
    add_json(command)
    command.set_defaults(words="")


def peers(arguments: argparse.Namespace) -> int:
    """Say who is to be found."""
    found = found_peers(arguments.root, arguments.experiment, clean=arguments.clean)
    if arguments.json:
        write(json_text(found))
    else:
        width, styled = layout()
        write(_text(found, width=width, styled=styled, cleaned=arguments.clean))
    return DONE


def _text(found: FoundPeers, *, width: int, styled: bool, cleaned: bool) -> str:
    """A line for each node, and below them what the columns do not say."""
    said = [_removed(found.removed)] if cleaned else []
    rows = [_row(peer) for peer in found.peers]
    table = grid(_HEADS, rows, width=width, styled=styled) if rows else "no node is to be found\n"
    if found.unreadable:
        said.append(f"not readable, or of another node than the name says: {_records(found.unreadable)}")
    if stale := sum(peer.state == "stale" for peer in found.peers):
        said.append(
            f"silent: {_nodes(stale)}; a worker that runs on this root removes such records after a while"
        )
    if left := sum(peer.state == "left" for peer in found.peers):
        said.append(f"left: {_nodes(left)}; --clean removes such records")
    return table + "".join(f"{line}\n" for line in said)


def _row(peer: FoundPeer) -> Sequence[str]:
    return (
        peer.node,
        peer.experiment,
        peer.role,
        peer.state,
        peer.reach,
        NOTHING if peer.age_s is None else duration(peer.age_s),
        str(len(peer.multiaddrs)) if peer.multiaddrs else NOTHING,
    )


def _removed(names: Sequence[str]) -> str:
    if not names:
        return "nothing to remove"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"removed {_records(len(names))}: {', '.join(names[:_NAMED])}{more}"


def _records(number: int) -> str:
    return f"{number} record" if number == 1 else f"{number} records"


def _nodes(number: int) -> str:
    return f"{number} node" if number == 1 else f"{number} nodes"
