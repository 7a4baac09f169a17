"""After a restart: the steps between a node's checkpoint and the swarm's round are repeated or given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from actors.trainer.reporter import TrainerReporter
from actors.trainer.restoring import Restored
from swarm_ray.exchange.replay import PublishedStep, StepReplay
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.records.metrics import StepMetrics
from swarm_ray.records.refusals import RefusalKind
from swarm_ray.sapo.node import Node

TakeAgain = Callable[[list[Node], PublishedStep], list[StepMetrics]]
"""Runs the round of a step once more for nodes that made it."""


def catch_up(
    nodes: Sequence[Node],
    state: StateFollower,
    made: StepReplay,
    restored: Restored,
    reporter: TrainerReporter,
    take_again: TakeAgain,
) -> int:
    """Repeat every step whose rollouts are kept, without generating, and report what was recovered.

    Args:
        nodes: as their checkpoints left them.
        state: follows the state log, from the oldest checkpoint on.
        made: finds the rollouts of earlier processes.
        restored: what was restored of each node.
        reporter: reports it.
        take_again: runs the round of a step once more.

    Returns:
        Rounds that were repeated.
    """
    state.poll()
    again: Counter[str] = Counter()
    without: Counter[str] = Counter()
    rounds = 0
    while (behind := made.replayable(nodes)) is not None:
        step, together = behind
        for row in take_again(together, step):
            again[row.node] += 1
            without[row.node] += sum(
                n for reason, n in row.counters.rejected.items() if RefusalKind.of(reason).is_missing
            )
        rounds += not step.file.alone
    for node in nodes:
        adopted, lost = _close_gap(node, state, made, restored.former[node.id])
        if restored.former[node.id]:
            reporter.tell_recovered(
                node, _said(node, restored, again[node.id], without[node.id], lost, adopted)
            )
    for problem in made.problems:
        reporter.tell("resumed", problem)
    return rounds


def _close_gap(
    node: Node, state: StateFollower, made: StepReplay, former: Sequence[str]
) -> tuple[int | None, int]:
    """Skip steps whose rollouts are gone; answers the open round whose file is adopted, and the steps lost."""
    opens = state.latest.opens if state.latest else None
    here = opens is not None and node.id in {m.node for m in opens.members} and opens.round > node.round
    if here and opens is not None and made.find(node) is None:
        made.look_in_open_round(node, opens.round, former)
    before, highest = node.step, made.highest(node.id)
    if _is_gone(made.find(node), node, state) and highest >= node.step:
        node.step = highest
        if _is_gone(made.find(node), node, state):
            node.step = highest + 1
    found = made.find(node)
    adopted = found.round if found is not None and opens is not None and found.round == opens.round else None
    return adopted, node.step - before


def _is_gone(made: PublishedStep | None, node: Node, state: StateFollower) -> bool:
    """Whether a step cannot be repeated: its rollouts are gone, or the swarm is past its round."""
    if made is None:
        return True
    latest = state.latest
    tally = latest.tallies.get(node.id) if latest else None
    counted = tally is not None and tally.round >= made.round
    return counted or (latest is not None and latest.opens is not None and latest.opens.round > made.round)


def _said(node: Node, restored: Restored, again: int, without: int, lost: int, adopted: int | None) -> str:
    """One line: where the node resumes, from what, and what could not be recovered."""
    if (weights := restored.weights_of.get(node.id)) is not None:
        taken = f"the weights of the checkpoint of {weights.describe()}"
        return f"resumed at step {node.step} from {taken}; optimizer and counters start over, as asked"
    found = restored.found.get(node.id)
    source = f" from the checkpoint of {found.describe()}" if found else ""
    parts = [f"resumed at step {node.step}{source}"]
    if not found:
        parts.append("no whole checkpoint was found, so it starts from the initial weights")
    if again:
        parts.append(f"{again} update(s) taken again from the state log")
    if without:
        parts.append(
            f"in them the rollouts of {without} file(s) of peers were missing, which are no longer kept"
        )
    if adopted is not None:
        parts.append(f"its file of round {adopted} adopted")
    if lost:
        parts.append(f"{lost} update(s) lost: their rollouts are no longer kept")
    elif not without:
        parts.append("nothing lost")
    return "; ".join(parts)
