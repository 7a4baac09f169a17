"""The tables of the report: the same figures as the command's tables, and those of the paper beside them."""

from __future__ import annotations

from collections.abc import Sequence

from swarm_ray.formatting import byte_count, duration, large, reward_sum, share
from swarm_ray.observe.reference_results import PAPER, ratio_to
from swarm_ray.observe.report.evaluations import before_and_after
from swarm_ray.observe.report.evidence import Evidence
from swarm_ray.observe.report.html_page import NOTHING, Table, change, times, visible
from swarm_ray.observe.report.incidents import MOST_SHOWN, counts_of, incidents_of
from swarm_ray.observe.report.run_charts import KINDS, operations_per_round, specialty_shares, time_of
from swarm_ray.observe.report.sharing import baseline_of, differing_settings, ratio_of
from swarm_ray.sapo.phases import PHASES

MOST_TEXT = 400
"""Characters of what one event or node says."""
_RATIO = "Ratio: of the cumulative rewards, to that of {}, over the rounds that both closed."


def summary_table(evidences: Sequence[Evidence]) -> Table:
    """A line for each experiment."""
    baseline = baseline_of(evidences)
    heads = ["experiment", "state", "I/J", "nodes", "rounds", "G", "seed", "cumulative"]
    heads += ["ratio"] if len(evidences) > 1 else []
    rows = [
        (
            one.name,
            one.status.state,
            one.split,
            str(len(one.nodes)),
            _rounds(one),
            str(one.config.completions),
            str(one.config.seed),
            reward_sum(one.figures.cumulative_reward),
            *((times(ratio_of(one, baseline)),) if len(evidences) > 1 else ()),
            change(one.figures.reward_first, one.figures.reward_last),
            change(one.figures.pass_at_1_start, one.figures.pass_at_1_end),
            large(one.figures.generated_tokens),
            duration(one.figures.seconds),
        )
        for one in evidences
    ]
    heads += ["reward", "pass@1", "tokens", "time"]
    note = (
        "Cumulative: own rewards summed over nodes and rounds. Reward: mean over the first and the last tenth of the "
        "rounds. Pass@1: held out, at start and end, mean over nodes. G: completions per question."
    )
    note += f" {_RATIO.format(baseline.name)}" if len(evidences) > 1 else ""
    return Table("", tuple(heads), tuple(rows), frozenset({0, 1}), note)


def paper_table(evidences: Sequence[Evidence]) -> Table:
    """Sums and ratios beside those of the paper."""
    baseline = baseline_of(evidences)
    ours: dict[str, list[Evidence]] = {}
    for one in evidences:
        ours.setdefault(one.split, []).append(one)
    rows = []
    for split in dict.fromkeys((*PAPER, *ours)):
        theirs = PAPER.get(split)
        said = f"{theirs.cumulative_reward:.2f}" if theirs else NOTHING
        paper = (said, times(ratio_to(theirs, PAPER["8/0"])))
        rows += [
            (
                split,
                one.name,
                reward_sum(one.figures.cumulative_reward),
                times(ratio_of(one, baseline)),
                *paper,
            )
            for one in ours.get(split, [])
        ] or [(split, NOTHING, NOTHING, NOTHING, *paper)]
    heads = ("I/J", "experiment", "cumulative reward", "ratio", "paper", "paper, ratio to 8/0")
    note = (
        f"{_RATIO.format(baseline.name)} The paper's sums are of 8 nodes of Qwen2.5-0.5B over 2000 rounds of other "
        "tasks, one seed: at most the ratios can be set beside each other."
    )
    return Table("Cumulative reward, beside the paper's", heads, tuple(rows), frozenset({0, 1}), note)


def node_table(evidence: Evidence) -> Table | None:
    """A line for each node; None without any."""
    sums = evidence.node_sums()
    rows: tuple[tuple[str, ...], ...] = tuple(
        (
            node.id,
            str(node.round) if node.round >= 0 else NOTHING,
            reward_sum(sums.get(node.id, 0.0)),
            share(node.reward).replace("-", NOTHING),
            change(node.pass_at_1_start, node.pass_at_1_end),
            large(node.external_offered),
            large(node.external_used),
            large(node.external_rejected),
            large(node.generated_tokens),
            visible(node.problem or ("trains alone" if node.alone else "") or node.recovered, MOST_TEXT),
        )
        for node in evidence.status.nodes
    )
    heads: tuple[str, ...] = (
        "node",
        "last round",
        "cumulative",
        "last reward",
        "pass@1",
        "offered",
        "used",
        "rejected",
        "tokens",
        "remark",
    )
    if not any(row[-1] for row in rows):
        heads, rows = heads[:-1], tuple(row[:-1] for row in rows)
    return Table(f"Nodes of {evidence.name}", heads, rows, frozenset({0, 9})) if rows else None


def specialty_table(evidences: Sequence[Evidence]) -> Table | None:
    """Held-out pass@1 by specialty; None where nobody measured it at start and end."""
    found = [(one, shares) for one in evidences if (shares := specialty_shares(one))]
    if not found:
        return None
    asked: dict[str, int] = {}
    for one, _ in found:
        for first, _last in before_and_after(one.evaluations).values():
            asked |= {s: max(asked.get(s, 0), count) for s, count in first.questions.items()}
    rows = tuple(
        (s, str(asked.get(s, 0)), *(change(*shares[s]) if s in shares else NOTHING for _, shares in found))
        for s in dict.fromkeys(s for _, shares in found for s in shares)
    )
    heads = ("specialty", "questions", *(one.name for one, _ in found))
    return Table("Held-out pass@1 at start and end", heads, rows)


def time_table(evidences: Sequence[Evidence]) -> Table | None:
    """Seconds and share of each phase; None where nothing was timed."""
    found = [(one.name, time) for one in evidences if (time := time_of(one)) is not None]
    if not found:
        return None
    totals = [sum(time.seconds.values()) for _, time in found]
    rows = [
        (
            phase,
            *(_part(t.seconds.get(phase, 0.0), whole) for (_, t), whole in zip(found, totals, strict=True)),
        )
        for phase in PHASES
    ]
    rows.append(("all", *(f"{whole:.3f} s" for whole in totals)))
    overhead = [NOTHING if time.overhead is None else f"{time.overhead:.1%}" for _, time in found]
    rows.append(("overhead", *overhead))
    note = "Overhead: publish, gather, select, report and other, as a share of all but waiting."
    return Table("Time per round, all nodes", ("phase", *(n for n, _ in found)), tuple(rows), note=note)


def store_table(evidences: Sequence[Evidence]) -> Table | None:
    """Operations and bytes of the whole run; None where none was told."""
    found = [(one, one.store_use) for one in evidences]
    told = [(one, use) for one, use in found if use is not None and one.rounds]
    if not told:
        return None
    rows = []
    for kind in KINDS:
        each = [operations_per_round(one) or {} for one, _ in told]
        totals = [use.operations.get(kind, 0) for _, use in told]
        if any(totals):
            rows.append((kind, *(f"{n} ({e.get(kind, 0.0):.1f})" for n, e in zip(totals, each, strict=True))))
    rows.append(("bytes read", *(byte_count(use.bytes_read) for _, use in told)))
    rows.append(("bytes written", *(byte_count(use.bytes_written) for _, use in told)))
    heads = ("operation", *(one.name for one, _ in told))
    return Table("Operations, in all (per round)", heads, tuple(rows))


def count_table(evidences: Sequence[Evidence]) -> Table | None:
    """How often what did not go as usual; None where all did."""
    counts = [counts_of(one) for one in evidences]
    whats = dict.fromkeys(what for one in counts for what in one)
    rows = tuple((what, *(str(one.get(what, 0)) for one in counts)) for what in whats)
    return Table("How often", ("what", *(one.name for one in evidences)), rows) if rows else None


def incident_table(evidence: Evidence) -> Table | None:
    """The incidents of one experiment, a line each; None where there was none."""
    found = incidents_of(evidence)
    if not found:
        return None
    rows = tuple(
        (
            str(one.round) if one.round >= 0 else NOTHING,
            one.node or NOTHING,
            one.kind,
            visible(one.text, MOST_TEXT),
            one.at[:19],
        )
        for one in found[:MOST_SHOWN]
    )
    left = len(found) - len(rows)
    note = f"{left} more are in the folder's logs and state records." if left else ""
    heads = ("round", "node", "kind", "what", "at (UTC)")
    return Table(f"Incidents of {evidence.name}", heads, rows, frozenset({1, 2, 3}), note)


def settings_table(evidences: Sequence[Evidence]) -> Table | None:
    """The keys in which the experiments differ; None where in none."""
    rows = [(key, *values) for key, values in differing_settings([one.config for one in evidences])]
    heads = ("key", *(one.name for one in evidences))
    texts = frozenset(range(len(heads)))
    return Table("Where they differ", heads, tuple(rows), texts) if rows else None


def origin_table(evidences: Sequence[Evidence]) -> Table:
    """Where each experiment comes from."""
    rows = []
    for one in evidences:
        identity = one.experiment.identity
        versions = ", ".join(f"{name} {version}" for name, version in sorted(identity.versions.items())[:20])
        created = identity.created_at[:19].replace("T", " ")
        rows.append((one.name, created, identity.config_hash, identity.machine, versions or NOTHING))
    heads = ("experiment", "created (UTC)", "configuration", "machine", "versions")
    title = "Where they come from" if len(rows) > 1 else "Where it comes from"
    return Table(title, heads, tuple(rows), frozenset(range(5)))


def _rounds(evidence: Evidence) -> str:
    closed, wanted = len(evidence.rounds), evidence.status.rounds
    return str(closed) if closed == wanted else f"{closed} of {wanted}"


def _part(seconds: float, whole: float) -> str:
    return f"{seconds:.3f} s ({seconds / whole:.0%})"
