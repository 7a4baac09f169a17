"""A peer that takes part with files of its own making, most of which no honest node would write."""

import math
from collections.abc import Callable
from typing import Any

import msgspec
import zstandard
from swarm_tasks_for_tests import coin

from drive_store import (
    ExperimentStore,
    Header,
    Publication,
    Registry,
    make_node_folders,
    payload_sha256,
    publish_round_file,
    seal_packed,
)
from drive_store.envelope import LENGTHS, PACKED_START, SCHEMA_VERSION, TRAILER, TRAILER_END, make_frame
from swarm_ray.config.load import config_hash
from swarm_ray.config.schema import SwarmConfig
from swarm_ray.exchange.state_follower import StateFollower
from swarm_ray.exchange.validation import MAX_ROUND_FILE
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.records.nodes import Beat, NodeTotals, Registration
from swarm_ray.records.rollouts import Completion, QuestionRef, Rollout, RoundFile, StepCounters
from swarm_ray.records.state import StageOpen
from swarm_ray.tasks.questions import TaskSet


class Stranger:
    """A registered node that answers every round with one of `acts`, by its name."""

    def __init__(self, address: ExperimentAddress, config: SwarmConfig, name: str = "stranger-1") -> None:
        self.name, self.life = name, "0badcafe"
        self._store, self._paths = address.open().store, address.paths
        self._tasks = TaskSet(config.tasks)
        self._registry = Registry(ExperimentStore(self._store, self._paths))
        self._state = StateFollower(ExperimentStore(self._store, self._paths), config.pace, Cancellation())
        make_node_folders(ExperimentStore(self._store, self._paths), name, self.life)
        announced = Registration(name, self.life, "elsewhere", config_hash(config), {}, "")
        self._registry.register(name, self.life, msgspec.json.encode(announced))
        self.acts: dict[str, Callable[[int], None]] = {
            "garbage": lambda n: self.write(n, b"\x00garbage\xff" * 100),
            "torn": lambda n: self.write(n, self.sealed(n, self.file(n))[:-100]),
            "junk": lambda n: self.publish(n, {"a": 1}),
            "other-experiment": lambda n: self.write(n, self.sealed(n, self.file(n), experiment="other")),
            "bomb": lambda n: self.write(n, self.sealed(n, bytes(2 * MAX_ROUND_FILE))),
            "lying-bomb": lambda n: self.write(n, self.bomb(n)),
            "other-text": lambda n: self.publish(n, self.file(n, text_hash="0" * 16)),
            "other-specialty": lambda n: self.publish(n, self.file(n, specialty="unheard-of")),
            "nan": lambda n: self.publish(
                n, {**msgspec.to_builtins(self.file(n), builtin_types=(bytes,)), "reward": math.nan}
            ),
            "endless-counts": lambda n: self.publish(n, self.boast(n)),
            "other-sizes": lambda n: self.publish(n, self.file(n, sizes=(2, 33))),
            "odd-text": lambda n: self.publish(n, self.odd(n)),
        }

    def take_part(self, acts: list[str]) -> None:
        """One act a round, then a last word."""
        number = -1
        for act in acts:
            opened = self._state.wait_open({self.name}, number)
            assert isinstance(opened, StageOpen)
            number = opened.round
            self.acts[act](number)
        assert self._state.wait_closed(number) is not None
        last = Beat(9, number, number, "done", NodeTotals(), done=True)
        self._registry.write_beat(self.name, self.life, 9, msgspec.json.encode(last))

    def file(self, number: int, sizes: tuple[int, ...] = (4,), **lie: Any) -> RoundFile:
        """Rollouts with an advantage, of these sizes; all rewards claimed are 1."""
        rollouts = []
        for place, size in enumerate(sizes):
            ref = self.question(7 * number + place)
            rollouts.append(Rollout(msgspec.structs.replace(ref, **lie), self.answers(ref.index, size)))
        return RoundFile(number, tuple(rollouts), 1.0, len(rollouts), 4 * len(rollouts))

    def question(self, index: int) -> QuestionRef:
        while self._tasks.is_held_out((question := self._tasks.question("coin", 1, index)).text):
            index += 1
        return question.ref

    def answers(self, index: int, size: int) -> tuple[Completion, ...]:
        """One right answer and one wrong one, then others."""
        texts = [str(n) for n in range(size + 60)]
        right = next(t for t in texts if coin(index, t) == 1)
        wrong = next(t for t in texts if coin(index, t) == 0)
        rest = [t for t in texts if t not in {right, wrong}][: size - 2]
        return tuple(Completion(t, 1.0, finished=True) for t in (right, wrong, *rest))

    def odd(self, number: int) -> RoundFile:
        """Right and wrong answers among texts that are hard to encode, some of them without any token."""
        ref = self.question(7 * number)
        texts = ["", " ", "<eos>", "<pad>" * 9, "\u00e9\u2028\U0001f600\0", "7" * 99_999]
        strange = tuple(Completion(t, 1.0, finished=f) for t in texts for f in (True, False))
        return RoundFile(number, (Rollout(ref, strange + self.answers(ref.index, 3)),), 1.0, 1, 4)

    def boast(self, number: int) -> RoundFile:
        """Counts as large as they can be written."""
        most = 2**64 - 1
        told = StepCounters(offered=most, used=most, rejected={"x": most}, generated_tokens=most)
        file = self.file(number)
        return msgspec.structs.replace(file, generated_tokens=most, previous=told)

    def publish(self, number: int, value: Any) -> None:
        """Publish through the store, as an honest node does."""
        publish_round_file(
            ExperimentStore(self._store, self._paths),
            Publication(
                node=self.name,
                incarnation=self.life,
                round=number,
                stage=0,
                payload=msgspec.msgpack.encode(value),
            ),
        )

    def write(self, number: int, data: bytes) -> None:
        """Write bytes under the name of a round file."""
        key = self._paths.round_file(self.name, self.life, number, 0, 0, payload_sha256(data))
        self._store.make_folder(key.rpartition("/")[0])
        self._store.create(key, data)

    def sealed(self, number: int, value: Any, **lie: Any) -> bytes:
        """An envelope, with a lie in its header or none."""
        payload = value if isinstance(value, bytes) else msgspec.msgpack.encode(value)
        return seal_packed(msgspec.structs.replace(self.header(number), **lie), payload)

    def header(self, number: int) -> Header:
        experiment = self._paths.experiment
        return Header(
            kind="rollouts", experiment=experiment, node=self.name, incarnation=self.life, round=number
        )

    def bomb(self, number: int) -> bytes:
        """An envelope that promises 100 bytes and decompresses to 64 MiB."""
        packed = zstandard.ZstdCompressor().compress(bytes(64 << 20))
        head = msgspec.msgpack.encode(make_frame(self.header(number), bytes(100), "zstd", len(packed)))
        body = PACKED_START + b"%d\n" % SCHEMA_VERSION + LENGTHS.pack(len(head), len(packed)) + head + packed
        total = len(body) + TRAILER.size + len(TRAILER_END)
        return body + TRAILER.pack(total) + TRAILER_END
