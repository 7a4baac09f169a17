"""Whether somebody is at work on an experiment: what may not happen to it then is refused."""

from __future__ import annotations

import shlex

from drive_store import read_coordinator_beats
from swarm_ray.errors import UserError
from swarm_ray.experiments.read import OpenExperiment
from swarm_ray.experiments.status import UNDER_WAY, dead_after_s, shown_state, status_of
from swarm_ray.records import StateRecord


def refuse_in_use(experiment: OpenExperiment, what: str) -> StateRecord | None:
    """Make sure that nobody is at work on an experiment, and answer its newest state record.

    Somebody is while its state is under way, or while it has none yet, and a node, a coordinator or the state log gave
    a sign less than `pace.dead_after_s` ago; by wall clocks, so as people see it.

    Args:
        experiment: which.
        what: what is about to be done to it, as in "it cannot be <what>".

    Raises:
        UserError: somebody is.
        SwarmStateError: the newest state record is not one that this version reads.
        StoreError: the folder cannot be read.
    """
    found = experiment.newest()
    record = found[1] if found else None
    state = shown_state(record) if record else "waiting"
    if state not in UNDER_WAY:
        return record
    signs = _signs(experiment)
    if found is not None:
        ref = found[0].ref
        key = experiment.paths.state_record(ref.epoch, ref.sequence, ref.claimant)
        signs["its coordinator"] = min(
            age
            for age in (experiment.age(key), signs.get("its coordinator"), float("inf"))
            if age is not None
        )
    who, age = min(signs.items(), key=lambda sign: sign[1], default=("nobody", float("inf")))
    empty = StateRecord("waiting", 1, None, None, {})
    if age < dead_after_s(experiment, record or empty):
        name = experiment.paths.experiment
        raise UserError(
            f"{name} is {state}, and {who} gave a sign {age:.0f} s ago, so it cannot be {what}; stop it first: "
            f"swarm-ray stop --root {shlex.quote(experiment.address.root)} --experiment {name}"
        )
    return record


def _signs(experiment: OpenExperiment) -> dict[str, float]:
    """Who gave a sign of life, and how many seconds ago."""
    signs = {n.id: n.last_seen_s for n in status_of(experiment).nodes if n.last_seen_s is not None}
    beats = [
        experiment.paths.coordinator_beat(c)
        for c in read_coordinator_beats(experiment.store, experiment.paths)
    ]
    ages = [age for key in beats if (age := experiment.age(key)) is not None]
    return signs | ({"its coordinator": min(ages)} if ages else {})
