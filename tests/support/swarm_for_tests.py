"""A swarm small enough to run in a test: blank models, a coin for a verifier, and a folder with spaces."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from actors.coordinator.closing import RoundRules
from drive_store import ExperimentStore, Store, history
from swarm_ray.config.load import config_hash, load_config
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.records.state import StageClosed, StateRecord
from swarm_ray.tasks.questions import TaskSet

if TYPE_CHECKING:
    from swarm_ray import Swarm

SMALL: dict[str, Any] = {
    "nodes": 2,
    "rounds": 3,
    "local": 2,
    "external": 2,
    "completions": 4,
    "policy.start": "blank",
    "tasks.specialties": ["coin"],
    "tasks.modules": ["swarm_tasks_for_tests"],
    "tasks.pool": 600,
    "evaluation.questions": 2,
    "pace.poll_max_s": 0.1,
    "pace.max_s": 20,
    "supervision.data_failures": 1,
}


def small_config(**changes: Any) -> SwarmConfig:
    """The small swarm; `pace__max_s=1` changes `pace.max_s`."""
    return load_config(
        "tiny", overrides=SMALL | {key.replace("__", "."): value for key, value in changes.items()}
    )


def rules_of(config: SwarmConfig) -> RoundRules:
    """What a coordinator has to know of a swarm."""
    return RoundRules(config.pace, config.rounds, config.stages, config.alarm_streak, config_hash(config))


def records_of(root: Path | str, experiment: str) -> list[StateRecord]:
    """The state log from its beginning, every record read whole."""
    problems: list[str] = []
    entries = history(
        ExperimentStore(Store(str(root)), ExperimentAddress(str(root), experiment).paths), problems=problems
    )
    assert problems == []
    return [decode_state(entry) for entry in entries]


def closed_stages(root: Path | str, experiment: str) -> list[StageClosed]:
    """The stages that closed, in order."""
    return [r.closed for r in records_of(root, experiment) if r.closed is not None]


def with_long_question_for(config: SwarmConfig, node: str, step: int) -> SwarmConfig:
    """The swarm with a question too long for the model, which `node` is the only one to draw, and at `step`."""
    from swarm_ray.tasks.streams import derive_stream

    tasks = TaskSet(config.tasks)
    drawn = {
        (f"node-{n}", s): {
            q.index for q in tasks.draw(derive_stream(config.seed, f"node-{n}", s, "questions"), config.local)
        }
        for n in range(config.nodes)
        for s in range(config.rounds)
    }
    others = {index for key, found in drawn.items() if key != (node, step) for index in found}
    asked = {q.index for group in tasks.held_out(config.evaluation.questions).values() for q in group}
    long = min(drawn[node, step] - others - asked)
    specialties = [{"name": "coin", "options": {"long": long}}]
    return load_config("tiny", overrides=config.model_dump(mode="json") | {"tasks.specialties": specialties})


def wait_for_round(swarm: Swarm, closed: int, within_s: float = 90.0) -> None:
    """Wait until so many rounds of a swarm that has been started have closed."""
    deadline = time.monotonic() + within_s
    while swarm.progress()[0].closed < closed:
        assert time.monotonic() < deadline, swarm.progress()
        time.sleep(0.05)


def descendants(pid: int) -> list[psutil.Process]:
    """The processes that a process has started, and theirs, those that are gone left out."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def actor_pid(shell: str) -> int:
    """The process of the only actor of a class, found by the title that Ray gives it."""
    found = []
    for process in descendants(psutil.Process().pid):
        try:
            title = " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        if title.startswith(f"ray::{shell}"):
            found.append(process.pid)
    assert len(found) == 1, f"{len(found)} processes of {shell}"
    return found[0]
