"""Commands that show where experiments stand: status, watch, list, peers."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from functools import partial

from swarm_ray.cli.arguments import JSON, ROOT, Command, option
from swarm_ray.cli.output import DONE, layout, printing, show, write
from swarm_ray.errors import UserError
from swarm_ray.experiments import list_experiments
from swarm_ray.experiments.read.listing import experiment_reading
from swarm_ray.experiments.read.peers import Peer, PeerList, list_peers
from swarm_ray.formatting import NOTHING, duration, grid
from swarm_ray.observe.diagnosis import swarm_alarm
from swarm_ray.observe.status_tables import list_table, status_table
from swarm_ray.observe.watch import EVERY_S, snapshot_text, watch

_PEER_HEADS = ("node", "experiment", "role", "state", "reach", "seen", "addresses")
_NAMED = 9
"""So many removed records are named; the rest is counted."""


def status(arguments: argparse.Namespace) -> int:
    """Say where an experiment stands."""
    reading = experiment_reading(arguments.root, arguments.experiment)
    table = partial(status_table, alarm=swarm_alarm(reading.record))
    show(reading.status(), table, as_json=arguments.json)
    return DONE


def watch_(arguments: argparse.Namespace) -> int:
    """Show a swarm's live progress until it has ended; an interrupt is the ordinary way to leave."""
    if len(arguments.names) > 1:
        raise UserError(f"watch shows one experiment, not {len(arguments.names)}; name one")
    name = arguments.names[0] if arguments.names else None
    if arguments.once:
        width, styled = layout()
        write(snapshot_text(arguments.root, name, width=width, styled=styled))
    else:
        with printing():
            watch(arguments.root, name, every_s=arguments.every)
    return DONE


def list_(arguments: argparse.Namespace) -> int:
    """List the experiments in a folder."""
    show(list_experiments(arguments.root), list_table, as_json=arguments.json)
    return DONE


def peers(arguments: argparse.Namespace) -> int:
    """List the nodes that can be found in a folder."""
    found = list_peers(arguments.root, arguments.experiment, clean=arguments.clean)
    show(found, partial(_peers_text, cleaned=arguments.clean), as_json=arguments.json)
    return DONE


def _peers_text(found: PeerList, *, width: int, styled: bool, cleaned: bool) -> str:
    """A line for each node, and below them what the columns do not say."""
    rows = [_peer_row(peer) for peer in found.peers]
    table = grid(_PEER_HEADS, rows, width=width, styled=styled) if rows else "no nodes found\n"
    states = Counter(peer.state for peer in found.peers)
    said = {
        f"{_removed(found.removed)}": cleaned,
        f"not readable, or of another node than the name says: {_many(found.unreadable, 'record')}": found.unreadable,
        f"silent: {_many(states['stale'], 'node')}; a worker that runs on this root removes such records after a "
        "while": states["stale"],
        f"left: {_many(states['left'], 'node')}; --clean removes such records": states["left"],
    }
    return table + "".join(f"{line}\n" for line, holds in said.items() if holds)


def _peer_row(peer: Peer) -> Sequence[str]:
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
    return f"removed {_many(len(names), 'record')}: {', '.join(names[:_NAMED])}{more}"


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


COMMANDS = (
    Command(
        "status",
        "show where an experiment stands",
        status,
        (
            ROOT,
            option("--experiment", metavar="NAME", help="which (default: the one that is under way)"),
            JSON,
        ),
    ),
    Command(
        "watch",
        "show a swarm's live progress, wherever it runs",
        watch_,
        (
            ROOT,
            option(
                "names", metavar="EXPERIMENT", nargs="*", help="which (default: the one that is under way)"
            ),
            option(
                "--every",
                metavar="SECONDS",
                type=float,
                default=EVERY_S,
                help=f"seconds between two updates (default: {EVERY_S:g})",
            ),
            option("--once", action="store_true", help="print one snapshot and end"),
        ),
    ),
    Command("list", "list the experiments in a folder", list_, (ROOT, JSON)),
    Command(
        "peers",
        "list the nodes that can be found in a folder, and how each can be reached",
        peers,
        (
            ROOT,
            option("--experiment", metavar="NAME", help="nodes of this one only (default: of all)"),
            option(
                "--clean",
                action="store_true",
                help="first remove the records of nodes that have left, and those of experiments that have ended",
            ),
            JSON,
        ),
    ),
)
