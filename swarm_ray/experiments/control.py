"""Asks a coordinator, wherever it is, to stop, pause or resume: by a file, which it answers in the state log."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import msgspec

from drive_store import StateLogReader, read_coordinator_beats, write_request
from swarm_ray.errors import SwarmStateError
from swarm_ray.exchange.state_follower import decode_state
from swarm_ray.experiments.read.experiment import open_experiment
from swarm_ray.records.state import ENDED, ControlRequest

Action = Literal["stop", "pause", "resume"]
LOOK_S = 0.5


def ask_coordinator(
    root: str,
    experiment: str,
    action: Action,
    *,
    within_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Ask, and wait for the answer.

    Args:
        root: the shared folder.
        experiment: its name.
        action: what is asked for.
        within_s: seconds to wait for a coordinator's heartbeat; by default twice `pace.dead_after_s`, after which
            it counts as dead. A pause, and what follows a pause, is answered when the open round has closed.
        clock: seconds, monotonic.
        sleep: waits that long.

    Returns:
        The coordinator's answer, in words.

    Raises:
        ExperimentNotFoundError: the experiment does not exist.
        SwarmStateError: nobody answered in time; the request stays for the next coordinator.
    """
    opened = open_experiment(root, experiment)
    entry, record = opened.newest() or (None, None)
    if record is not None and record.state in ENDED:
        again = "; run the command that started it to resume it" if action == "resume" else ""
        return f"nothing to do: {experiment} is {record.state}{again}"
    pace = opened.config(record.config_hash if record else "").pace
    patience = 2 * pace.dead_after_s if within_s is None else within_s
    asked = msgspec.json.encode(ControlRequest(action, datetime.now(UTC).isoformat(timespec="seconds")))
    opened.store.attach(opened.paths.experiment_json)
    request = write_request(opened.view, asked)
    reader = StateLogReader(opened.view, after=entry.ref if entry else None, list_every=4)
    began, beats = clock(), read_coordinator_beats(opened.view)
    while clock() - began < patience:
        for entry in reader.poll():
            reply = decode_state(entry).replies.get(request)
            if reply is not None:
                return reply
        sleep(min(LOOK_S, pace.poll_max_s))
        now = read_coordinator_beats(opened.view)
        if now != beats:  # somebody is there: a pause is answered when the open round has closed
            began, beats = clock(), now
    raise SwarmStateError(
        f"no coordinator of {experiment!r} answered within {patience:.0f} s; the request stays, and the next one "
        f"will answer it: swarm-ray coordinate --root {shlex.quote(root)} --experiment {experiment}"
    )
