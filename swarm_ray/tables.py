"""Tables for people: what experiments say, as text of at most 100 columns unless told otherwise.

For a terminal heads are bold above a rule; anywhere else the text is ASCII, as far as the names in it are.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD, Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from swarm_ray.experiments import (
    Comparison,
    ExperimentStatus,
    ExperimentSummary,
    NodeStatus,
    TimeBreakdown,
)
from swarm_ray.sapo.phases import OVERHEAD

WIDTH = 100
NOTHING = "-"
_PLAIN_HEAD = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)


def list_table(summaries: Sequence[ExperimentSummary], *, width: int = WIDTH, styled: bool = False) -> str:
    """A line for each experiment, and below them what is wrong."""
    if not summaries:
        return "no experiments\n"
    heads = ["experiment", "state", ">round", ">rounds", ">nodes", ">I/J", ">G", ">seed", "created"]
    table = _table(heads, styled=styled)
    for s in summaries:
        table.add_row(
            _cell(s.name),
            _cell(s.state),
            _round(s.round),
            _count(s.rounds),
            _count(s.nodes),
            _split(s.local, s.external),
            _count(s.completions),
            _count(s.seed),
            _cell(s.created_at[:16].replace("T", " ")),
        )
    notes = [f"{s.name}: {s.problem}" for s in summaries if s.problem]
    notes += [f"{s.name}: learned nothing" for s in summaries if s.learned_nothing]
    return _text(table, notes, width, styled=styled)


def status_table(status: ExperimentStatus, *, width: int = WIDTH, styled: bool = False) -> str:
    """Where an experiment stands, a line for each node, and below them what is wrong."""
    heads = ["node", ">round", ">step", ">seen", ">reward", ">sum", ">offered", ">used", ">rejected"]
    table = _table([*heads, ">tokens", ">pass@1"], styled=styled)
    for node in status.nodes:
        table.add_row(*_node_cells(node))
    said = [f"note: {status.note}"] if status.note else []
    alarm = ["it LEARNED NOTHING: no group of any node had an advantage for many rounds"]
    said += alarm if status.learned_nothing else []
    said += [f"{node.id}: {node.problem}" for node in status.nodes if node.problem]
    head = f"{status.experiment} is {status.state}: {_position(status)} (epoch {status.epoch})"
    if not status.nodes:
        return "\n".join([_clean(head), *map(_clean, said), "no node has registered yet", ""])
    return _clean(head) + "\n" + _text(table, said, width, styled=styled)


def comparison_table(comparisons: Sequence[Comparison], *, width: int = WIDTH, styled: bool = False) -> str:
    """A line for each experiment; against the first without external rollouts where there is one.

    `cumulative` is the sum over nodes and rounds of the mean raw reward of own completions, `reward` its mean
    over the first and last tenth of the rounds, `pass@1` held out, before and after.
    """
    baseline = next((c for c in comparisons if c.external == 0), None) if len(comparisons) > 1 else None
    same = _in_common(comparisons)
    heads = ["experiment", ">I/J", *[f">{what}" for what in _SIZES if what not in same], ">cumulative"]
    heads += [f">vs {_split(baseline.local, baseline.external)}"] if baseline else []
    table = _table([*heads, ">reward", ">pass@1", ">tokens", ">time"], styled=styled)
    for c in comparisons:
        sizes = [_count(_size(c, what)) for what in _SIZES if what not in same]
        ratio = [_ratio(c, baseline)] if baseline else []
        table.add_row(_cell(c.experiment), _split(c.local, c.external), *sizes, *ratio_first(c, ratio))
    head = ", ".join(f"{number} {what}" for what, number in same.items())
    notes = [f"{c.experiment} is {c.state}" for c in comparisons if c.state != "finished"]
    notes += [f"{c.experiment} LEARNED NOTHING" for c in comparisons if c.learned_nothing]
    return (f"{head}\n" if head else "") + _text(table, notes, width, styled=styled)


def ratio_to(comparison: Comparison, baseline: Comparison) -> float | None:
    """Cumulative reward over the baseline's.

    None unless both had as many nodes and rounds, and the baseline earned something.
    """
    if (comparison.nodes, comparison.rounds) != (baseline.nodes, baseline.rounds):
        return None
    earned = baseline.cumulative_reward
    return comparison.cumulative_reward / earned if earned > 0 else None


def time_text(breakdown: TimeBreakdown) -> str:
    """Where the time of a round goes, largest first, in two lines."""
    if not breakdown.rounds:
        return "no round was timed\n"
    phases = sorted(breakdown.seconds.items(), key=lambda item: -item[1])
    parts = [f"{phase} {seconds:.3f}" for phase, seconds in phases if seconds >= 0.0005]
    total = sum(breakdown.seconds.values())
    share = NOTHING if breakdown.overhead is None else f"{breakdown.overhead:.1%}"
    return (
        f"seconds per round, all nodes (rounds {breakdown.first} to {breakdown.last}): {total:.3f} = "
        f"{' + '.join(parts) or NOTHING}\n"
        f"overhead ({', '.join(OVERHEAD)}) in all but waiting: {share}\n"
    )


def duration(seconds: float) -> str:
    """A duration as people say it: 0.4 s, 95 s, 12 min, 3.2 h, 4.0 d."""
    for unit, size, most in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < most:
            value = seconds / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{seconds / 86_400:.1f} d"


def _table(heads: Sequence[str], *, styled: bool) -> Table:
    """An empty table; a head that begins with `>` stands above numbers."""
    table = Table(box=SIMPLE_HEAD if styled else _PLAIN_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for number, head in enumerate(heads):
        table.add_column(
            head.removeprefix(">"),
            justify="right" if head.startswith(">") else "left",
            no_wrap=number > 0,
            overflow="fold",
        )
    return table


def _text(table: Table, notes: Sequence[str], width: int, *, styled: bool) -> str:
    """The table and the notes below it; long notes are not cut, the terminal wraps them."""
    out = io.StringIO()
    colours = {"force_terminal": True, "color_system": "standard"} if styled else {"color_system": None}
    console = Console(file=out, width=width, legacy_windows=False, **colours)
    console.print(table)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    return "\n".join([*lines, *map(_clean, notes), ""])


def _node_cells(node: NodeStatus) -> list[str | Text]:
    return [
        _cell(node.id),
        _round(node.round),
        _count(node.step),
        NOTHING if node.last_seen_s is None else duration(node.last_seen_s),
        _share(node.reward),
        _sum(node.cumulative_reward),
        _large(node.external_offered),
        _large(node.external_used),
        _large(node.external_rejected),
        _large(node.generated_tokens),
        _change(node.pass_at_1_start, node.pass_at_1_end),
    ]


def _position(status: ExperimentStatus) -> str:
    """Which round it is; rounds count from 0."""
    where = "no round yet" if status.round < 0 else f"round {status.round}"
    return f"{where}, {status.rounds} rounds in all"


def _ratio(comparison: Comparison, baseline: Comparison) -> str:
    ratio = ratio_to(comparison, baseline)
    return NOTHING if ratio is None else f"{ratio:.2f}x"


def _cell(text: str) -> Text:
    """Text that others wrote: no markup in it counts, and no control character reaches the terminal."""
    return Text(_clean(text))


def _clean(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _round(number: int) -> str:
    return NOTHING if number < 0 else str(number)


def _count(number: int | None) -> str:
    return NOTHING if number is None else str(number)


def _split(local: int | None, external: int | None) -> str:
    return f"{_count(local)}/{_count(external)}"


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _sum(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def _change(start: float | None, end: float | None) -> str:
    return f"{_share(start)} > {_share(end)}"


def _large(number: int) -> str:
    for unit, size in (("", 1), ("k", 1000), ("M", 1_000_000)):
        if number < 10_000 * size or (unit == "" and number < 10_000):
            return f"{number / size:.0f}{unit}"
    return f"{number / 1e9:.1f}G"
