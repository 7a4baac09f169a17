"""The tables of `status`, `list` and `compare` as text, 100 columns wide by default.

On a terminal heads are bold above a rule; elsewhere the text is ASCII, unless names are not.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from swarm_ray.experiments import (
    Comparison,
    ExperimentStatus,
    ExperimentSummary,
    NodeStatus,
    TimeBreakdown,
)
from swarm_ray.experiments.read.liveness import PAUSED, coordinator_line
from swarm_ray.formatting import (
    NOTHING,
    WIDTH,
    Columns,
    Row,
    change,
    clean,
    count,
    duration,
    grid,
    large,
    reward_sum,
    rows_of,
    share,
    shortened,
)
from swarm_ray.observe.reference_results import ratio_to
from swarm_ray.records.nodes import Reached
from swarm_ray.records.state import UNDER_WAY, ExperimentState

_LIST_COLUMNS: Columns[ExperimentSummary] = {
    "experiment": lambda s: s.name,
    "state": lambda s: s.state,
    "round": lambda s: _round(s.round),
    "rounds": lambda s: count(s.rounds),
    "nodes": lambda s: count(s.nodes),
    "I/J": lambda s: _split(s.local, s.external),
    "G": lambda s: count(s.completions),
    "seed": lambda s: count(s.seed),
    "created": lambda s: s.created_at[:16].replace("T", " "),
}
_NODE_COLUMNS: Columns[NodeStatus] = {
    "node": lambda n: n.id,
    "round": lambda n: _round(n.round),
    "step": lambda n: count(n.step),
    "seen": lambda n: NOTHING if n.last_seen_s is None else duration(n.last_seen_s),
    "reward": lambda n: share(n.reward),
    "sum": lambda n: reward_sum(n.cumulative_reward),
    "offered": lambda n: large(n.external_offered),
    "used": lambda n: large(n.external_used),
    "rejected": lambda n: large(n.external_rejected),
    "tokens": lambda n: large(n.generated_tokens),
    "pass@1": lambda n: change(n.pass_at_1_start, n.pass_at_1_end),
}
_SIZE_COLUMNS: Columns[Comparison] = {
    "nodes": lambda c: str(c.nodes),
    "rounds": lambda c: str(c.rounds),
    "completions": lambda c: str(c.completions),
}
"""Shown above the table where they are the same in all experiments."""
_ANIMAL_COLUMN: Columns[NodeStatus] = {"animal": lambda n: n.animal or NOTHING}


def list_table(summaries: Sequence[ExperimentSummary], *, width: int = WIDTH, styled: bool = False) -> str:
    """A line per experiment, and their problems below."""
    if not summaries:
        return "no experiments\n"
    notes = [f"{s.name}: {s.problem}" for s in summaries if s.problem]
    notes += [f"{s.name} LEARNED NOTHING" for s in summaries if s.learned_nothing]
    return _grid(_LIST_COLUMNS, summaries, width, styled=styled) + _lines(notes)


def status_table(
    status: ExperimentStatus, *, width: int = WIDTH, styled: bool = False, alarm: str = ""
) -> str:
    """The status of an experiment: a line per node, and their problems below.

    Args:
        status: what to show.
        width: columns of the text.
        styled: for a terminal.
        alarm: `swarm_alarm` of the newest state record, which says for how many rounds nothing was learned.
    """
    where = "before its first round" if status.round < 0 else f"round {status.round}"
    lost = status.coordinator is not None and status.coordinator.problem is not None
    is_ = f"was {status.state} when it was last heard of" if lost else f"is {status.state}"
    head = f"{status.experiment} {is_}: {where}, {status.rounds} rounds in all"
    said = [f"note: {status.note}"] if status.note else []
    if status.learned_nothing:
        said.append(alarm or "LEARNED NOTHING: in its last rounds no group of any node had an advantage")
    said += [shortened(f"{n.id}: {text}") for n in status.nodes for text in _remarks(n, status.state)]
    said += [] if status.nodes else ["no node has registered yet"]
    table = _node_table(status.nodes, width, styled=styled) if status.nodes else ""
    return _lines([head, *_coordinator_lines(status)]) + table + _lines(said)


def _node_table(nodes: Sequence[NodeStatus], width: int, *, styled: bool) -> str:
    """A line for each node; animal names are shown only if they fit the width."""
    table = _grid(_NODE_COLUMNS, nodes, width, styled=styled)
    named = _grid(_NODE_COLUMNS | _ANIMAL_COLUMN, nodes, width, styled=styled)
    fits = max(map(cell_len, Text.from_ansi(named).plain.splitlines())) <= width
    folded = len(named.splitlines()) > len(table.splitlines())
    return named if any(n.animal for n in nodes) and fits and not folded else table


def _coordinator_lines(status: ExperimentStatus) -> list[str]:
    """The coordinator, as in the live view, and what its silence means."""
    found, over = status.coordinator, status.state not in UNDER_WAY
    if found is None:
        return []
    line = coordinator_line(found.claimant, status.epoch, None if over else found.last_seen_s, by_clocks=True)
    more = found.problem or (PAUSED if status.state == ExperimentState.PAUSED else "")
    return [line, *([more] if more else [])]


def _remarks(node: NodeStatus, state: str) -> list[str]:
    """Remarks on a node beside its figures."""
    rounds = ", ".join(map(str, node.unanswered))
    over = state == ExperimentState.FINISHED  # a stopped experiment may be resumed, which answers them
    remarks = [
        node.problem,
        "trains alone: no heartbeat from a coordinator" if node.alone else "",
        f"its file(s) of round {rounds} {'never arrived' if over else 'have no answer yet'}"
        if rounds
        else "",
        node.recovered,
        _reached(node.reached) if node.reached else "",
    ]
    return [remark for remark in remarks if remark]


def _reached(reached: Reached) -> str:
    """How other nodes are reached."""
    ways = [
        (reached.direct, "directly"),
        (reached.folder, "through the folder"),
        (reached.asked, "not at all: they were asked to put their rollouts into the folder"),
    ]
    said = [f"{', '.join(names)} {how}" for names, how in ways if names]
    return f"reaches {'; '.join(said)}" if said else "has a direct link, but no peers to reach"


def comparison_table(comparisons: Sequence[Comparison], *, width: int = WIDTH, styled: bool = False) -> str:
    """A line per experiment, compared with the first one without external rollouts, if any.

    `cumulative` is the sum over nodes and rounds of the mean raw reward of own completions, `reward` its mean
    over the first and the last tenth of the rounds, `pass@1` held out, before and after.
    """
    values = {head: list(dict.fromkeys(map(cell, comparisons))) for head, cell in _SIZE_COLUMNS.items()}
    common = [f"{known[0]} {key}" for key, known in values.items() if len(known) == 1]
    baseline = next((c for c in comparisons if c.external == 0), None) if len(comparisons) > 1 else None
    columns: Columns[Comparison] = {
        "experiment": lambda c: c.experiment,
        "I/J": lambda c: _split(c.local, c.external),
        **{head: cell for head, cell in _SIZE_COLUMNS.items() if len(values[head]) > 1},
        "cumulative": lambda c: reward_sum(c.cumulative_reward),
        **(
            {f"vs {_split(baseline.local, baseline.external)}": lambda c: _ratio(c, baseline)}
            if baseline
            else {}
        ),
        "reward": lambda c: change(c.reward_first, c.reward_last),
        "pass@1": lambda c: change(c.pass_at_1_start, c.pass_at_1_end),
        "tokens": lambda c: large(c.generated_tokens),
        "time": lambda c: duration(c.seconds),
    }
    notes = [f"{c.experiment} is {c.state}" for c in comparisons if c.state != ExperimentState.FINISHED]
    notes += [f"{c.experiment} LEARNED NOTHING" for c in comparisons if c.learned_nothing]
    table = _grid(columns, comparisons, width, styled=styled)
    return _lines([", ".join(common)] if common else []) + table + _lines(notes)


def time_text(breakdown: TimeBreakdown, *, width: int = WIDTH) -> str:
    """Time per round: the sum and the overhead, and below them the phases, largest first."""
    if not breakdown.rounds:
        return "no round was timed\n"
    overhead = NOTHING if breakdown.overhead is None else f"{breakdown.overhead:.1%}"
    head = (
        f"time per round, all nodes, rounds {breakdown.first} to {breakdown.last}: "
        f"{sum(breakdown.seconds.values()):.3f} s; overhead in all but waiting: {overhead}"
    )
    phases = sorted(breakdown.seconds.items(), key=lambda item: -item[1])
    parts = ", ".join(f"{phase} {seconds:.3f}" for phase, seconds in phases if seconds >= 0.0005)
    return _lines([head, *textwrap.wrap(parts, width, initial_indent="  ", subsequent_indent="  ")])


def _ratio(comparison: Comparison, baseline: Comparison) -> str:
    ratio = ratio_to(comparison, baseline)
    return NOTHING if ratio is None else f"{ratio:.2f}x"


def _round(number: int) -> str:
    return NOTHING if number < 0 else str(number)


def _split(local: int | None, external: int | None) -> str:
    return f"{count(local)}/{count(external)}"


def _grid(columns: Columns[Row], items: Sequence[Row], width: int, *, styled: bool) -> str:
    return grid([*columns], rows_of(columns, items), width=width, styled=styled)


def _lines(texts: Sequence[str]) -> str:
    """Texts on separate lines; the terminal wraps long ones."""
    return "".join(f"{clean(text)}\n" for text in texts)
