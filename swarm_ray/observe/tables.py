"""Tables of experiments as text, 100 columns wide by default.

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
    change,
    clean,
    count,
    duration,
    grid,
    large,
    reward_sum,
    share,
    shortened,
)
from swarm_ray.observe.reference_results import ratio_to
from swarm_ray.records.nodes import Reached
from swarm_ray.records.state import UNDER_WAY, ExperimentState


def list_table(summaries: Sequence[ExperimentSummary], *, width: int = WIDTH, styled: bool = False) -> str:
    """A line per experiment, and their problems below."""
    if not summaries:
        return "no experiments\n"
    heads = ["experiment", "state", "round", "rounds", "nodes", "I/J", "G", "seed", "created"]
    rows = [
        [
            s.name,
            s.state,
            _round(s.round),
            count(s.rounds),
            count(s.nodes),
            _split(s.local, s.external),
            count(s.completions),
            count(s.seed),
            s.created_at[:16].replace("T", " "),
        ]
        for s in summaries
    ]
    notes = [f"{s.name}: {s.problem}" for s in summaries if s.problem]
    notes += [f"{s.name} LEARNED NOTHING" for s in summaries if s.learned_nothing]
    return grid(heads, rows, width=width, styled=styled) + _lines(notes)


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
    top = [head, *_coordinator_lines(status)]
    said = [f"note: {status.note}"] if status.note else []
    if status.learned_nothing:
        said.append(alarm or "LEARNED NOTHING: in its last rounds no group of any node had an advantage")
    for node in status.nodes:
        said += [shortened(f"{node.id}: {text}") for text in _remarks(node, status.state)]
    if not status.nodes:
        return _lines([*top, *said, "no node has registered yet"])
    return _lines(top) + _node_table(status.nodes, width, styled=styled) + _lines(said)


def _node_table(nodes: Sequence[NodeStatus], width: int, *, styled: bool) -> str:
    """A line for each node; animal names are shown only if they fit the width."""
    heads = ["node", "round", "step", "seen", "reward", "sum", "offered", "used", "rejected"]
    heads += ["tokens", "pass@1"]
    table = grid(heads, [_node_row(n) for n in nodes], width=width, styled=styled)
    if not any(n.animal for n in nodes):
        return table
    rows = [[*_node_row(n), n.animal or NOTHING] for n in nodes]
    named = grid([*heads, "animal"], rows, width=width, styled=styled)
    fits = max(map(cell_len, Text.from_ansi(named).plain.splitlines())) <= width
    folded = len(named.splitlines()) > len(table.splitlines())
    return named if fits and not folded else table


def _coordinator_lines(status: ExperimentStatus) -> list[str]:
    """The coordinator, as in the live view, and what its silence means."""
    found = status.coordinator
    if found is None:
        return []
    over = status.state not in UNDER_WAY
    line = coordinator_line(found.claimant, status.epoch, None if over else found.last_seen_s, by_clocks=True)
    more = found.problem or (PAUSED if status.state == ExperimentState.PAUSED else "")
    return [line, *([more] if more else [])]


def _remarks(node: NodeStatus, state: str) -> list[str]:
    """Remarks on a node beside its figures."""
    remarks = [node.problem] if node.problem else []
    if node.alone:
        remarks.append("trains alone: no heartbeat from a coordinator")
    if node.unanswered:
        rounds = ", ".join(map(str, node.unanswered))
        over = state == ExperimentState.FINISHED  # a stopped experiment may be resumed, which answers them
        remarks.append(f"its file(s) of round {rounds} {'never arrived' if over else 'have no answer yet'}")
    if node.recovered:
        remarks.append(node.recovered)
    if node.reached is not None:
        remarks.append(_reached(node.reached))
    return remarks


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
    sizes = [_sizes(c) for c in comparisons]
    common = [key for key in (sizes[0] if sizes else {}) if len({size[key] for size in sizes}) == 1]
    differing = [key for key in (sizes[0] if sizes else {}) if key not in common]
    baseline = next((c for c in comparisons if c.external == 0), None) if len(comparisons) > 1 else None
    heads = ["experiment", "I/J", *differing, "cumulative"]
    heads += [f"vs {_split(baseline.local, baseline.external)}"] if baseline else []
    rows = [
        [
            c.experiment,
            _split(c.local, c.external),
            *[count(size[key]) for key in differing],
            reward_sum(c.cumulative_reward),
            *([_ratio(c, baseline)] if baseline else []),
            change(c.reward_first, c.reward_last),
            change(c.pass_at_1_start, c.pass_at_1_end),
            large(c.generated_tokens),
            duration(c.seconds),
        ]
        for c, size in zip(comparisons, sizes, strict=True)
    ]
    head = [", ".join(f"{sizes[0][key]} {key}" for key in common)] if common else []
    notes = [f"{c.experiment} is {c.state}" for c in comparisons if c.state != ExperimentState.FINISHED]
    notes += [f"{c.experiment} LEARNED NOTHING" for c in comparisons if c.learned_nothing]
    table = grid([*heads, "reward", "pass@1", "tokens", "time"], rows, width=width, styled=styled)
    return _lines(head) + table + _lines(notes)


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


def _node_row(node: NodeStatus) -> list[str]:
    return [
        node.id,
        _round(node.round),
        count(node.step),
        NOTHING if node.last_seen_s is None else duration(node.last_seen_s),
        share(node.reward),
        reward_sum(node.cumulative_reward),
        large(node.external_offered),
        large(node.external_used),
        large(node.external_rejected),
        large(node.generated_tokens),
        change(node.pass_at_1_start, node.pass_at_1_end),
    ]


def _sizes(comparison: Comparison) -> dict[str, int]:
    """Values that are the same in all experiments, shown once above the table."""
    return {"nodes": comparison.nodes, "rounds": comparison.rounds, "completions": comparison.completions}


def _ratio(comparison: Comparison, baseline: Comparison) -> str:
    ratio = ratio_to(comparison, baseline)
    return NOTHING if ratio is None else f"{ratio:.2f}x"


def _round(number: int) -> str:
    return NOTHING if number < 0 else str(number)


def _split(local: int | None, external: int | None) -> str:
    return f"{count(local)}/{count(external)}"


def _lines(texts: Sequence[str]) -> str:
    """Texts on separate lines; the terminal wraps long ones."""
    return "".join(f"{clean(text)}\n" for text in texts)
