"""The tables of the report: the same figures as the command's tables, and those of the paper beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from swarm_ray.experiments import NodeStatus, TimeBreakdown
from swarm_ray.experiments.folder import ExperimentIdentity
from swarm_ray.formatting import Columns, byte_count, duration, large, reward_sum, rows_of, share
from swarm_ray.observe.reference_results import PAPER, ratio_to
from swarm_ray.observe.report.evidence import Evidence
from swarm_ray.observe.report.html_page import NOTHING, Table, change, times, visible
from swarm_ray.observe.report.incidents import MOST_SHOWN, Incident, counts_of, incidents_of
from swarm_ray.observe.report.run_charts import KINDS, specialty_shares, time_of
from swarm_ray.observe.report.sharing import baseline_of, differing_settings, ratio_of
from swarm_ray.sapo.phases import PHASES

MOST_TEXT = 400
"""Characters of what one event or node says."""
_RATIO = "Ratio: of the cumulative rewards, to that of {}, over the rounds that both closed."


def summary_table(evidences: Sequence[Evidence]) -> Table:
    """A line for each experiment."""
    baseline, several = baseline_of(evidences), len(evidences) > 1
    ratio: Columns[Evidence] = {"ratio": lambda one: times(ratio_of(one, baseline))} if several else {}
    columns: Columns[Evidence] = {
        "experiment": lambda one: one.name,
        "state": lambda one: one.status.state,
        "I/J": lambda one: one.split,
        "nodes": lambda one: str(len(one.nodes)),
        "rounds": _rounds,
        "G": lambda one: str(one.config.completions),
        "seed": lambda one: str(one.config.seed),
        "cumulative": lambda one: reward_sum(one.figures.cumulative_reward),
        **ratio,
        "reward": lambda one: change(one.figures.reward_first, one.figures.reward_last),
        "pass@1": lambda one: change(one.figures.pass_at_1_start, one.figures.pass_at_1_end),
        "tokens": lambda one: large(one.figures.generated_tokens),
        "time": lambda one: duration(one.figures.seconds),
    }
    note = (
        "Cumulative: own rewards summed over nodes and rounds. Reward: mean over the first and the last tenth of the "
        "rounds. Pass@1: held out, at start and end, mean over nodes. G: completions per question."
    )
    note += f" {_RATIO.format(baseline.name)}" if several else ""
    return Table("", tuple(columns), rows_of(columns, evidences), frozenset({0, 1}), note)


def paper_table(evidences: Sequence[Evidence]) -> Table:
    """Sums and ratios beside those of the paper."""
    baseline = baseline_of(evidences)
    rows = []
    for split in dict.fromkeys((*PAPER, *(one.split for one in evidences))):
        theirs = PAPER.get(split)
        said = f"{theirs.cumulative_reward:.2f}" if theirs else NOTHING
        paper = (said, times(ratio_to(theirs, PAPER["8/0"])))
        ours = [
            (one.name, reward_sum(one.figures.cumulative_reward), times(ratio_of(one, baseline)))
            for one in evidences
            if one.split == split
        ]
        rows += [(split, *own, *paper) for own in ours or [(NOTHING, NOTHING, NOTHING)]]
    heads = ("I/J", "experiment", "cumulative reward", "ratio", "paper", "paper, ratio to 8/0")
    note = (
        f"{_RATIO.format(baseline.name)} The paper's sums are of 8 nodes of Qwen2.5-0.5B over 2000 rounds of other "
        "tasks, one seed: at most the ratios can be set beside each other."
    )
    return Table("Cumulative reward, beside the paper's", heads, tuple(rows), frozenset({0, 1}), note)


def node_table(evidence: Evidence) -> Table | None:
    """A line for each node; None without any."""
    nodes, sums = evidence.status.nodes, evidence.node_sums()
    columns: Columns[NodeStatus] = {
        "node": lambda n: n.id,
        "last round": lambda n: str(n.round) if n.round >= 0 else NOTHING,
        "cumulative": lambda n: reward_sum(sums.get(n.id, 0.0)),
        "last reward": lambda n: share(n.reward).replace("-", NOTHING),
        "pass@1": lambda n: change(n.pass_at_1_start, n.pass_at_1_end),
        "offered": lambda n: large(n.external_offered),
        "used": lambda n: large(n.external_used),
        "rejected": lambda n: large(n.external_rejected),
        "tokens": lambda n: large(n.generated_tokens),
    }
    remark: Columns[NodeStatus] = {"remark": _remark} if any(map(_remark, nodes)) else {}
    columns |= remark
    texts = frozenset({0, len(columns) - 1} if remark else {0})
    return (
        Table(f"Nodes of {evidence.name}", tuple(columns), rows_of(columns, nodes), texts) if nodes else None
    )


def _remark(node: NodeStatus) -> str:
    return visible(node.problem or ("trains alone" if node.alone else "") or node.recovered, MOST_TEXT)


def specialty_table(evidences: Sequence[Evidence]) -> Table | None:
    """Held-out pass@1 by specialty; None where nobody measured it at start and end."""
    found = [(one, shares) for one in evidences if (shares := specialty_shares(one))]
    asked: Counter[str] = Counter()
    for first, _ in (both for one, _ in found for both in one.evaluations.values()):
        asked |= Counter(first.questions)
    rows = tuple(
        (s, str(asked[s]), *(change(*shares[s]) if s in shares else NOTHING for _, shares in found))
        for s in dict.fromkeys(s for _, shares in found for s in shares)
    )
    heads = ("specialty", "questions", *(one.name for one, _ in found))
    return Table("Held-out pass@1 at start and end", heads, rows) if found else None


def time_table(evidences: Sequence[Evidence]) -> Table | None:
    """Seconds and share of each phase; None where nothing was timed."""
    found = {one.name: time for one in evidences if (time := time_of(one)) is not None}
    overheads = [time.overhead for time in found.values()]
    rows = (
        *((phase, *(_part(time, phase) for time in found.values())) for phase in PHASES),
        ("all", *(f"{sum(time.seconds.values()):.3f} s" for time in found.values())),
        ("overhead", *(NOTHING if overhead is None else f"{overhead:.1%}" for overhead in overheads)),
    )
    note = "Overhead: publish, gather, select, report and other, as a share of all but waiting."
    return Table("Time per round, all nodes", ("phase", *found), rows, note=note) if found else None


def store_table(evidences: Sequence[Evidence]) -> Table | None:
    """Operations and bytes of the whole run; None where none was told."""
    told = [(one, use) for one in evidences if (use := one.store_use) is not None and one.rounds]
    counts = {kind: [use.operations.get(kind, 0) for _, use in told] for kind in KINDS}
    rounds = [len(one.rounds) for one, _ in told]
    rows = (
        *(
            (kind, *(f"{n} ({n / r:.1f})" for n, r in zip(numbers, rounds, strict=True)))
            for kind, numbers in counts.items()
            if any(numbers)
        ),
        ("bytes read", *(byte_count(use.bytes_read) for _, use in told)),
        ("bytes written", *(byte_count(use.bytes_written) for _, use in told)),
    )
    heads = ("operation", *(one.name for one, _ in told))
    return Table("Operations, in all (per round)", heads, rows) if told else None


def count_table(evidences: Sequence[Evidence]) -> Table | None:
    """How often what did not go as usual; None where all did."""
    counts = [counts_of(one) for one in evidences]
    whats = dict.fromkeys(what for one in counts for what in one)
    rows = tuple((what, *(str(one.get(what, 0)) for one in counts)) for what in whats)
    return Table("How often", ("what", *(one.name for one in evidences)), rows) if rows else None


def incident_table(evidence: Evidence) -> Table | None:
    """The incidents of one experiment, a line each; None where there was none."""
    found = incidents_of(evidence)
    columns: Columns[Incident] = {
        "round": lambda one: str(one.round) if one.round >= 0 else NOTHING,
        "node": lambda one: one.node or NOTHING,
        "kind": lambda one: one.kind,
        "what": lambda one: visible(one.text, MOST_TEXT),
        "at (UTC)": lambda one: one.at[:19],
    }
    rows, left = rows_of(columns, found[:MOST_SHOWN]), len(found) - MOST_SHOWN
    note = f"{left} more are in the folder's logs and state records." if left > 0 else ""
    title, texts = f"Incidents of {evidence.name}", frozenset({1, 2, 3})
    return Table(title, tuple(columns), rows, texts, note) if found else None


def settings_table(evidences: Sequence[Evidence]) -> Table | None:
    """The keys in which the experiments differ; None where in none."""
    rows = [(key, *values) for key, values in differing_settings([one.config for one in evidences])]
    heads = ("key", *(one.name for one in evidences))
    texts = frozenset(range(len(heads)))
    return Table("Where they differ", heads, tuple(rows), texts) if rows else None


def origin_table(evidences: Sequence[Evidence]) -> Table:
    """Where each experiment comes from."""
    columns: Columns[ExperimentIdentity] = {
        "experiment": lambda made: made.experiment,
        "created (UTC)": lambda made: made.created_at[:19].replace("T", " "),
        "configuration": lambda made: made.config_hash,
        "machine": lambda made: made.machine,
        "versions": lambda made: ", ".join(map(" ".join, sorted(made.versions.items())[:20])) or NOTHING,
    }
    title = "Where they come from" if len(evidences) > 1 else "Where it comes from"
    rows = rows_of(columns, [one.experiment.identity for one in evidences])
    return Table(title, tuple(columns), rows, frozenset(range(len(columns))))


def _rounds(evidence: Evidence) -> str:
    closed, wanted = len(evidence.rounds), evidence.status.rounds
    return str(closed) if closed == wanted else f"{closed} of {wanted}"


def _part(time: TimeBreakdown, phase: str) -> str:
    seconds = time.seconds.get(phase, 0.0)
    return f"{seconds:.3f} s ({seconds / sum(time.seconds.values()):.0%})"
