"""TensorBoard: event files by tensorboard's own writer, which needs neither torch nor TensorFlow."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from swarm_ray.tracking.tracker import TrackedStep, TrackerFailed, TrackerFiles

if TYPE_CHECKING:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

FLUSH_S = 10
"""What a killed process loses, at most."""


class TensorboardTracker:
    """Writes a node's figures as scalars; the step is the node's own.

    Args:
        files: where event files are written.
    """

    name = "tensorboard"

    def __init__(self, files: TrackerFiles) -> None:
        self._files = files
        self._writers: dict[tuple[str, str], EventFileWriter] = {}

    def log(self, step: TrackedStep) -> None:
        """See `Tracker.log`."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in step.figures.items()]
        event = Event(wall_time=time.time(), step=step.step, summary=Summary(value=values))
        try:
            self._writer_of(step.node, step.incarnation).add_event(event)
        except OSError as error:
            raise TrackerFailed(f"event files cannot be written: {error}") from error

    def close(self) -> None:
        """See `Tracker.close`."""
        try:
            for writer in self._writers.values():
                writer.close()
        except OSError as error:
            raise TrackerFailed(f"event files cannot be written: {error}") from error

    def _writer_of(self, node: str, incarnation: str) -> EventFileWriter:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        key = (node, incarnation)
        if key not in self._writers:
            folder = self._files.home(node, incarnation) / "tensorboard"
            self._writers[key] = EventFileWriter(str(folder), flush_secs=FLUSH_S)
        return self._writers[key]
