"""A trainer's reports: metrics and events for the logger, and its nodes' heartbeats for discovery."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import msgspec

from actors.store_meter import StoreMeter
from actors.trainer.restoring import Restored
from actors.trainer.settings import ReportSink
from drive_store import RETRYABLE, StoreError
from swarm_ray.errors import ActorFailure
from swarm_ray.exchange.folder import Outbox
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.records.metrics import Event
from swarm_ray.records.nodes import FINAL_PHASE, Beat
from swarm_ray.records.state import Member
from swarm_ray.sapo.node import Node

BOUNDED = ("checkpointing", "uploading")
"""Phases that end by a deadline, and during which nothing else counts as progress."""


class TrainerReporter:
    """Reports a trainer's events, and its progress in heartbeats while it is busy.

    Args:
        sink: takes both.
        state: the swarm as the trainer sees it.
        exchange: knows which files are unanswered.
        cancellation: counts what the trainer does.
        meter: counts its store operations.
    """

    def __init__(
        self,
        sink: ReportSink,
        state: StateFollower,
        exchange: Outbox,
        cancellation: Cancellation,
        meter: StoreMeter,
    ) -> None:
        self._sink, self._meter, self._cancellation = sink, meter, cancellation
        self._state, self._exchange = state, exchange
        self._said: dict[str, str] = {}
        self._recovered: dict[str, str] = {}
        self._skipped: dict[str, int] = {}
        self._alone = False
        self._phase, self._counted = "training", 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def register(self, restored: Restored) -> None:
        """Announce the nodes, and log rows that their dead processes may not have logged."""
        keys = {node: folder.identity.key for node, folder in restored.folders.items()}
        self._sink.register(restored.members, restored.succeeds, keys)
        problems = {"checkpoint": restored.problems, "spool": self._exchange.problems}
        self._sink.events([Event(kind, text) for kind, found in problems.items() for text in found])
        self._sink.metrics([row for found in restored.found.values() for row in found.state.rows])

    def start(self, nodes: Sequence[Node], described: Callable[[Node], str]) -> None:
        """Report that the nodes begin, and their progress until `end`."""
        self._sink.events([Event("started", described(n), n.id) for n in nodes])
        for node in nodes:
            if node.problem:
                self.failed(node, -1)
        self._thread = threading.Thread(target=self._report_progress, args=(nodes,), daemon=True)
        self._thread.start()

    @contextmanager
    def busy(self, phase: str) -> Iterator[None]:
        """Show `phase` in the nodes' heartbeats meanwhile.

        Work without progress of its own that ends by a deadline counts as progress while it lasts.
        """
        self._phase = phase
        try:
            yield
        finally:
            self._phase = "training"

    def end(self) -> None:
        """Stop reporting progress; harmless when repeated."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def tell(self, kind: str, text: str, node: str = "", number: int = -1) -> None:
        """Report an event."""
        self._sink.events([Event(kind, text, node, number)])

    def tell_recovered(self, node: Node, text: str) -> None:
        """Report what a node recovered from its earlier incarnation, in an event and in all its heartbeats."""
        self._recovered[node.id] = text
        self.tell("resumed", text, node.id, node.round)

    def tell_once(self, kind: str, text: str) -> None:
        """Report a condition when it changes; an empty text reports nothing and clears it."""
        if self._said.get(kind, "") != text:
            self._said[kind] = text
            if text:
                self.tell(kind, text)

    def tell_connection(self, *, alone: bool) -> None:
        """Report when the nodes begin to train alone or rejoin the swarm, and when the folder is out of reach."""
        if alone and not self._alone:
            why = self._state.problem or "no heartbeat of a coordinator"
            self.tell("alone", f"training alone: {why}")
        if self._alone and not alone:
            self.tell("back", "the coordinator is back; joining its round")
        self._alone = alone
        problem = self._state.problem
        self.tell_once("folder", f"the folder is out of reach: {problem}" if problem else "")

    def failed(self, node: Node, number: int) -> None:
        """Report at once that a node skips a round or was given up, so that no node waits for its file."""
        kind = "node-failed" if node.problem else "node-skipped"
        self.tell(kind, node.problem or node.skipped, node.id, number)
        if not node.problem:  # repeated in every heartbeat from now on
            self._skipped[node.id] = max(number, self._skipped.get(node.id, -1))
        self._sink.beat([(node.id, self._beat(node, "failed"))], published=False)

    def published(self, nodes: Sequence[Node], *, alone: bool, phase: str = "training") -> None:
        """Report the nodes' progress after a round."""
        beats = [(n.id, self._beat(n, phase)) for n in nodes]
        self._sink.beat(beats, published=not alone and phase == "training")

    def flush(self) -> None:
        """Write logged rows to the folder, if it is reachable; else they stay on this machine's disk."""
        with suppress(*RETRYABLE, ActorFailure):  # the logger keeps and reports them
            self._sink.flush()

    def final_heartbeat(self, nodes: Sequence[Node], *, done: bool) -> None:
        """Send the nodes' final heartbeats, once all earlier reports are in the folder."""
        with self.busy("uploading"):
            self._sink.flush()
        self.end()
        beats = [self._beat(node, FINAL_PHASE, done=done) for node in nodes]
        if beats:
            beats[0] = msgspec.structs.replace(beats[0], store=self._meter.since_last())
        self._sink.beat([(n.id, beat) for n, beat in zip(nodes, beats, strict=True)], published=False)
        self._sink.flush()

    def _beat(self, node: Node, phase: str, *, done: bool = False) -> Beat:
        return Beat(
            count=0,
            round=node.round,
            step=node.step,
            phase=phase,
            totals=node.totals,
            problem=node.problem,
            done=done,
            progress=self._cancellation.progress + self._counted,
            unanswered=self._exchange.unanswered(node.id),
            alone=self._alone,
            skipped=self._skipped.get(node.id, -1),
            recovered=self._recovered.get(node.id, ""),
            reached=self._exchange.direct.reached,
        )

    def _report_progress(self, nodes: Sequence[Node]) -> None:
        """Pass progress on for heartbeats, which discovery also sends while the trainer hangs."""
        reported = -1
        with suppress(
            ActorFailure, StoreError
        ):  # the trainer's own reports fail too, and end it with the cause
            while not self._ended.wait(self._state.pace.beat_s / 2):
                self._counted += self._phase in BOUNDED
                done = self._cancellation.progress + self._counted
                if done != reported:
                    reported = done
                    beats = [(n.id, self._beat(n, self._phase)) for n in nodes if not n.problem]
                    self._sink.beat(beats, published=False)


@contextmanager
def beats_while_loading(sink: ReportSink, former: list[Member], every_s: float) -> Iterator[None]:
    """Send heartbeats for former incarnations until their successors are announced: loading is progress.

    Args:
        sink: takes the heartbeats.
        former: the incarnations; empty if all nodes are new, for which no node waits yet.
        every_s: seconds between two heartbeats.
    """
    ended = threading.Event()

    def beat() -> None:
        with suppress(ActorFailure, StoreError):  # the trainer's own next report fails too
            while former:
                sink.loading(former)
                if ended.wait(every_s):
                    return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
