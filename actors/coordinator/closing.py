"""What is written of a stage that ends, and what comes after it: pure functions."""

from __future__ import annotations

from collections.abc import Iterable

from actors.coordinator.arrivals import Arrivals
from swarm_ray.records.nodes import StoreUse
from swarm_ray.records.state import ExperimentState, StageClosed, StageOpen


def close_stage(
    opens: StageOpen,
    arrivals: Arrivals,
    winners: tuple[str, ...],
    seconds: float,
    store: StoreUse,
    *,
    awaited: bool,
) -> StageClosed:
    """How the stage ended.

    Args:
        opens: the stage.
        arrivals: what came in since it opened.
        winners: whom most nodes voted for.
        seconds: how long it took.
        store: what the coordinator asked of the folder since the stage before.
        awaited: in barrier pace every member was to hand in a file; in async pace nobody is missing.
    """
    accepted = sorted(arrivals.accepted, key=lambda counted: (counted.ref.node, counted.ref.step))
    rewards: dict[str, list[float]] = {}
    informative: dict[str, int] = {}
    for ref, file in accepted:
        if file.reward is not None:
            rewards.setdefault(ref.node, []).append(file.reward)
        informative[ref.node] = informative.get(ref.node, 0) + file.informative
    return StageClosed(
        round=opens.round,
        stage=opens.stage,
        accepted=tuple(counted.ref for counted in accepted),
        missing=tuple(m.node for m in arrivals.missing(opens.members)) if awaited else (),
        late=tuple(arrivals.late),
        superseded=tuple(arrivals.superseded),
        rejected=tuple(arrivals.rejected),
        rewards={node: mean(found) for node, found in rewards.items()},
        informative=informative,
        winners=winners,
        seconds=seconds,
        store=store,
    )


def mean(numbers: Iterable[float]) -> float:
    """Of at least one number."""
    found = list(numbers)
    return sum(found) / len(found)


def next_state(*, over: bool, paused: bool, can_open: bool) -> ExperimentState:
    """What the experiment is once no stage is open: draining, paused, running (a round opens) or waiting.

    Args:
        over: the last round has closed.
        paused: somebody asked for a pause.
        can_open: enough living nodes are there.
    """
    if over:
        return ExperimentState.DRAINING
    if paused:
        return ExperimentState.PAUSED
    return ExperimentState.RUNNING if can_open else ExperimentState.WAITING
