"""Commands that observe and steer: status, watch, list, compare, peers; stop, pause, resume; config."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

from swarm_ray.cli.arguments import Parser, add_configuration, add_json, add_root, overrides_of
from swarm_ray.cli.output import DONE, complain_of, layout, printing, show, write
from swarm_ray.config.load import load_config, render_yaml
from swarm_ray.errors import UserError
from swarm_ray.experiments import compare_experiments, list_experiments
from swarm_ray.experiments.read.listing import experiment_reading
from swarm_ray.experiments.read.peers import Peer, PeerList, list_peers
from swarm_ray.formatting import NOTHING, duration, grid
from swarm_ray.observe.diagnosis import swarm_alarm
from swarm_ray.observe.tables import comparison_table, list_table, status_table
from swarm_ray.observe.watch import EVERY_S, snapshot_text, watch

_PEER_HEADS = ("node", "experiment", "role", "state", "reach", "seen", "addresses")
_NAMED = 9
"""So many removed records are named; the rest is counted."""


def define_status(command: Parser) -> None:
    """Options of `status`."""
    add_root(command)
    command.add_argument("--experiment", metavar="NAME", help="which (default: the one that is under way)")
    add_json(command)


def status(arguments: argparse.Namespace) -> int:
    """Say where an experiment stands."""
    reading = experiment_reading(arguments.root, arguments.experiment)
    table = partial(status_table, alarm=swarm_alarm(reading.record))
    show(reading.status(), table, as_json=arguments.json)
    return DONE


def define_watch(command: Parser) -> None:
    """Options of `watch`."""
    add_root(command)
    command.add_argument(
        "names", metavar="EXPERIMENT", nargs="*", help="which (default: the one that is under way)"
    )
    command.add_argument(
        "--every",
        metavar="SECONDS",
        type=float,
        default=EVERY_S,
        help=f"seconds between two updates (default: {EVERY_S:g})",
    )
    command.add_argument("--once", action="store_true", help="print one snapshot and end")
    command.set_defaults(words="names")


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


def define_list(command: Parser) -> None:
    """Options of `list`."""
    add_root(command)
    add_json(command)


def list_(arguments: argparse.Namespace) -> int:
    """List the experiments in a folder."""
    show(list_experiments(arguments.root), list_table, as_json=arguments.json)
    return DONE


def define_compare(command: Parser) -> None:
    """Options of `compare`."""
    add_root(command)
    command.add_argument("names", metavar="EXPERIMENT", nargs="+", help="which, in the order of the table")
    add_json(command)
    command.set_defaults(words="names")


def compare(arguments: argparse.Namespace) -> int:
    """Compare experiments."""
    problems: list[str] = []
    comparisons = compare_experiments(arguments.root, arguments.names, problems)
    show(comparisons, comparison_table, as_json=arguments.json)
    complain_of(problems)
    return DONE


def define_control(command: Parser) -> None:
    """Options of `stop`, `pause` and `resume`."""
    add_root(command)
    command.add_argument("--experiment", metavar="NAME", required=True, help="which")


def control(arguments: argparse.Namespace) -> int:
    """Ask a coordinator, and print its answer."""
    from swarm_ray.experiments.control import ask_coordinator

    write(f"{ask_coordinator(arguments.root, arguments.experiment, arguments.command)}\n")
    return DONE


def define_config(command: Parser) -> None:
    """Options of `config`."""
    add_configuration(command)


def config(arguments: argparse.Namespace) -> int:
    """Print a whole configuration."""
    write(render_yaml(load_config(arguments.preset, arguments.config, overrides_of(arguments))))
    return DONE


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


def peers(arguments: argparse.Namespace) -> int:
    """List the nodes that can be found in a folder."""
    found = list_peers(arguments.root, arguments.experiment, clean=arguments.clean)
    show(found, partial(_peers_text, cleaned=arguments.clean), as_json=arguments.json)
    return DONE


def _peers_text(found: PeerList, *, width: int, styled: bool, cleaned: bool) -> str:
    """A line for each node, and below them what the columns do not say."""
    said = [_removed(found.removed)] if cleaned else []
    rows = [_peer_row(peer) for peer in found.peers]
    table = grid(_PEER_HEADS, rows, width=width, styled=styled) if rows else "no nodes found\n"
    if found.unreadable:
        said.append(f"not readable, or of another node than the name says: {_records(found.unreadable)}")
    if stale := sum(peer.state == "stale" for peer in found.peers):
        said.append(
            f"silent: {_nodes(stale)}; a worker that runs on this root removes such records after a while"
        )
    if left := sum(peer.state == "left" for peer in found.peers):
        said.append(f"left: {_nodes(left)}; --clean removes such records")
    return table + "".join(f"{line}\n" for line in said)


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
    return f"removed {_records(len(names))}: {', '.join(names[:_NAMED])}{more}"


def _records(number: int) -> str:
    return f"{number} record" if number == 1 else f"{number} records"


def _nodes(number: int) -> str:
    return f"{number} node" if number == 1 else f"{number} nodes"
