"""A snapshot as text: a head, a line on the coordinator, a row per node, and problems.

What does not fit the width is left out, the least important column first; only very long names are shortened.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from swarm_ray.formatting import clean, reward_sum, shortened
from swarm_ray.observe.live_tables import WARNING, choose, node_table, reward, seconds, sparkline
from swarm_ray.observe.snapshot import ExperimentSnapshot, NodeSnapshot
from swarm_ray.records.state import ExperimentState

LEAST_BAR, MOST_BAR = 10, 40
SPARK_WIDTH, LEAST_SPARK, FEWEST_SPARKS = 40, 20, 5
MOST_LINES = 12
"""Most lines on problems; further ones are counted."""
STYLES: dict[str, str] = {
    ExperimentState.RUNNING: "green",
    ExperimentState.FINISHED: "green",
    ExperimentState.DRAINING: "cyan",
    ExperimentState.PAUSED: "magenta",
    ExperimentState.FAILED: "red",
}


class SwarmView:
    """Draws a snapshot at whatever width the console has.

    Args:
        snapshot: what to draw.
        clock: text before the head, such as the seconds so far.
    """

    def __init__(self, snapshot: ExperimentSnapshot, clock: str = "") -> None:
        self._snapshot, self._clock = snapshot, clock

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lines and a table; plain characters on consoles without others."""
        snapshot, width, plain = self._snapshot, options.max_width, options.ascii_only
        lines = [
            *((alarm, "bold red") for alarm in snapshot.alarms),
            (snapshot.result, "bold"),
            (progress_line(snapshot, width, plain=plain) if snapshot.rounds else "", ""),
            (reward_line(snapshot, width) if snapshot.rewards and not plain else "", ""),
            (snapshot.coordinator, "dim"),
            *((note, "") for note in snapshot.notes),
        ]
        yield self._head()
        yield from (Text(clean(line), style=style) for line, style in lines if line)
        if snapshot.nodes:
            yield from _nodes(snapshot.nodes, width)

    def _head(self) -> Text:
        snapshot = self._snapshot
        head = Text(self._clock)
        head.append(clean(snapshot.experiment), style="bold")
        head.append(" was " if snapshot.lost else " is ")
        head.append(
            clean(_state(snapshot)), style=WARNING if snapshot.lost else STYLES.get(snapshot.state, "")
        )
        return head.append(f"  {snapshot.label}" if snapshot.label else "", style="dim")


_STATE_WORDS: dict[str, str] = {
    ExperimentState.DRAINING: "draining: waiting for the last files and logs",
    "absent": "not created yet",
}


def _state(snapshot: ExperimentSnapshot) -> str:
    state = _STATE_WORDS.get(snapshot.state, snapshot.state)
    return f"{state} when it was last heard of" if snapshot.lost else state


def progress_line(snapshot: ExperimentSnapshot, width: int, *, plain: bool = False) -> str:
    """Rounds that are over, a bar where there is room, seconds per round and what is left."""
    done = min(1.0, snapshot.closed / snapshot.rounds)
    said = f"{snapshot.closed} of {snapshot.rounds} rounds"
    pace = [] if snapshot.round_s is None else [f"{seconds(snapshot.round_s)} a round"]
    left = [f"{seconds(snapshot.left_s)} left"] if snapshot.state == ExperimentState.RUNNING else []
    after = "  ".join([f"{done:4.0%}", *pace, *left])
    room = min(width - len(said) - len(after) - 4, MOST_BAR)
    full, empty = "#." if plain else "█░"
    bar = (full * int(done * room)).ljust(room, empty)
    return f"{said}  {bar}  {after}" if room >= LEAST_BAR else f"{said}  {after.strip()}"


def reward_line(snapshot: ExperimentSnapshot, width: int) -> str:
    """The curve of the run, and the mean of its newest rounds."""
    after = "" if snapshot.reward is None else f"  {reward(snapshot.reward)} in the last 10 rounds"
    total = "" if snapshot.cumulative is None else f", {reward_sum(snapshot.cumulative)} in all"
    after += total if len(after) + len(total) + LEAST_SPARK < width else ""
    room = min(width - len("reward  ") - len(after), SPARK_WIDTH)
    curve = sparkline(snapshot.rewards, room, max(snapshot.rewards)) if room >= FEWEST_SPARKS else ""
    return f"reward  {curve}{after}" if curve else f"reward{after}"


def one_line(snapshot: ExperimentSnapshot) -> str:
    """A snapshot on one line, for outputs that cannot be redrawn."""
    said = [
        f"{snapshot.experiment}: {_state(snapshot)}",
        f"{snapshot.closed} of {snapshot.rounds} rounds" if snapshot.rounds else "",
        "" if snapshot.reward is None else f"reward {reward(snapshot.reward)}",
        "" if snapshot.left_s is None else f"{seconds(snapshot.left_s)} left",
    ]
    told = [snapshot.result, *snapshot.alarms, *snapshot.notes, *troubles(snapshot.nodes)]
    return clean(" | ".join(filter(None, [", ".join(filter(None, said)), *told])))


def troubles(nodes: Sequence[NodeSnapshot]) -> list[str]:
    """A line for each node with problems."""
    return _limited([shortened(f"{n.node}: {'; '.join(n.problems)}") for n in nodes if n.problems])


def _limited(lines: list[str]) -> list[str]:
    over = len(lines) - MOST_LINES
    return lines if over <= 0 else [*lines[:MOST_LINES], f"and {over} more"]


def _nodes(nodes: Sequence[NodeSnapshot], width: int) -> RenderResult:
    rows, others = choose(nodes)
    yield node_table(rows, width)
    if others:
        first, last = min(node.round for node in others), max(node.round for node in others)
        span = f"round {first}" if first == last else f"rounds {first} to {last}"
        yield Text(f"and {len(others)} more, {span}", style="dim")
    notes = _limited([f"{n.node}: {'; '.join(n.notes)}" for n in nodes if n.notes])
    yield from (Text(clean(line), style=WARNING) for line in troubles(nodes))
    yield from (Text(clean(line), style="dim") for line in notes)
