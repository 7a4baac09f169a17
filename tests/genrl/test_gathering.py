"""Gathering by a deadline: who is waited for, and what becomes of files that are damaged or malformed."""

import time
from pathlib import Path

import msgspec
import pytest

from drive_store import (
    ExperimentPaths,
    ExperimentStore,
    Publication,
    Registry,
    Store,
    make_node_folders,
    new_incarnation,
    publish_round_file,
)
from swarm_ray.config.schema import PaceConfig
from swarm_ray.errors import UserError
from swarm_ray.experiments.open import init_experiment
from swarm_ray.genrl.communication import GameCoordinator, ImpossibleSubmission
from swarm_ray.genrl.folder_communication import FolderCommunication
from swarm_ray.genrl.gathering import DeadlineGathering, Gathered
from swarm_ray.genrl.peers import Peers
from swarm_ray.machine.cancellation import Cancellation
from swarm_ray.records.nodes import Beat, NodeTotals, Registration
from swarm_ray.records.rollouts import RoundFile
from swarm_ray.records.state import FIRST, Member, Moment
from swarm_ray.sapo.phases import PhaseClock

SHORT = PaceConfig(max_s=0.3, beat_s=0.01, dead_after_s=0.1, poll_max_s=0.02, expect=2)
LONG = SHORT.model_copy(update={"max_s": 60.0, "dead_after_s": 30.0})


class Folder:
    """An experiment's folder with nodes that a test lets speak."""

    def __init__(self, root: Path) -> None:
        self.store, self.paths = Store(str(root)), ExperimentPaths("game")
        for folder in ("experiments", self.paths.folder, self.paths.peers_folder, self.paths.rollouts_parent):
            self.store.make_folder(folder)
        self.store.create(self.paths.experiment_json, b"{}\n")
        self.store.attach(self.paths.experiment_json)
        self.experiment = ExperimentStore(self.store, self.paths)
        self.registry = Registry(self.experiment)

    def join(self, node: str, number: int = -1, *, done: bool = False, succeeds: str = "") -> Member:
        me = (node, new_incarnation())
        make_node_folders(self.experiment, *me)
        said = Registration(*me, "here", "0" * 12, {}, "2026-08-01T12:00:00", succeeds=succeeds)
        self.registry.register(*me, msgspec.json.encode(said))
        self.beat(Member(*me), 1, number, done=done)
        return Member(*me)

    def beat(self, member: Member, count: int, number: int, *, done: bool = False) -> None:
        beat = Beat(count, number, number + 1, "playing", NodeTotals(), done=done, progress=count)
        self.registry.write_beat(*pair(member), count, msgspec.json.encode(beat))

    def share(self, member: Member, text: str, moment: Moment = FIRST) -> None:
        self.publish(member, RoundFile(0, (), None, 0, 0, game=text.encode()), moment)

    def publish(self, member: Member, file: RoundFile, moment: Moment = FIRST) -> None:
        fields = {**msgspec.structs.asdict(member), **moment._asdict()}
        publish_round_file(self.experiment, Publication(**fields, payload=msgspec.msgpack.encode(file)))


class Game:
    """The game as one node plays it: every stage shares the same payload."""

    def __init__(self, folder: Folder, pace: PaceConfig) -> None:
        self._gathering = DeadlineGathering(folder.experiment, folder.join("own"), pace, Cancellation(), 9)

    def exchange(self, moment: Moment = FIRST) -> Gathered:
        ours = RoundFile(0, (), None, 0, 0, game=b"ours")
        return self._gathering.exchange(moment, ours, PhaseClock(time.monotonic))


def pair(member: Member) -> tuple[str, str]:
    return member.node, member.incarnation


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_nobody_is_waited_for_longer_than_needed(folder: Folder) -> None:
    folder.share(folder.join("other"), "theirs")
    began = time.monotonic()
    gathered = Game(folder, LONG).exchange()
    assert time.monotonic() - began < LONG.max_s
    assert gathered.payloads == {"other": b"theirs", "own": b"ours"}
    assert (gathered.missing, gathered.problems) == ((), [])


def test_a_peer_that_dies_in_the_middle_is_named_and_the_game_goes_on(folder: Folder) -> None:
    other, game = folder.join("other"), Game(folder, SHORT)
    folder.share(other, "theirs")
    assert game.exchange().payloads.keys() == {"own", "other"}
    folder.beat(other, 2, 0)
    missed = game.exchange(Moment(1))  # it beats no more, and shares nothing
    assert missed.payloads == {"own": b"ours"}
    after = game.exchange(Moment(2))
    assert (after.payloads, after.missing) == ({"own": b"ours"}, ())


def test_without_the_nodes_that_are_expected_the_first_stage_takes_its_whole_time(folder: Folder) -> None:
    folder.join("stranger", 10**9)
    game = Game(folder, SHORT)
    assert game.exchange().missing == ("1 of 2 nodes that were expected",)
    assert game.exchange(Moment(1)).missing == ()


@pytest.mark.parametrize(("number", "waits"), [(-1, True), (0, True), (1, False), (5, False)])
def test_only_peers_that_can_still_come_are_waited_for(folder: Folder, number: int, *, waits: bool) -> None:
    folder.join("other", number)
    gathered = Game(folder, SHORT.model_copy(update={"dead_after_s": 30.0})).exchange(Moment(1))
    assert gathered.missing == (("other",) if waits else ())


def test_a_peer_far_behind_is_not_waited_for_and_one_that_is_done_has_left_its_files(folder: Folder) -> None:
    folder.share(folder.join("behind", 3), "old", Moment(4))
    folder.share(folder.join("done", 9, done=True), "theirs", Moment(8))
    assert Game(folder, LONG).exchange(Moment(8)).payloads == {"done": b"theirs", "own": b"ours"}


def test_damaged_and_malformed_files_are_dropped_with_their_reasons(folder: Folder) -> None:
    torn = folder.join("torn")
    folder.share(torn, "theirs")
    folder.publish(folder.join("odd"), RoundFile(0, (), 0.5, 0, 0))
    bucket = folder.paths.rollouts_bucket(*pair(torn), 0)
    (name,) = folder.store.names(bucket)
    path = Path(folder.store.root, bucket, name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    gathered = Game(folder, LONG).exchange()
    assert gathered.payloads == {"own": b"ours"}
    assert [problem.partition(":")[0] for problem in gathered.problems] == ["odd", "torn"]
    assert "shares nothing of a game" in gathered.problems[0]


def test_of_a_node_that_was_started_again_the_life_that_goes_on_counts(folder: Folder) -> None:
    now = 0.0
    peers = Peers(folder.experiment, "own", LONG, lambda: now)
    before = folder.join("other", 4)
    peers.look(now=True)
    now = 100.0
    again = folder.join("other", succeeds=before.incarnation)
    peers.look(now=True)
    assert [life.incarnation for life in peers.lives("other")] == [again.incarnation, before.incarnation]
    assert peers.playing()["other"].round == 4  # that of its life before


def test_what_is_no_registration_or_no_beat_is_passed_over(folder: Folder) -> None:
    folder.registry.register("odd", new_incarnation(), b'{"node": 3}')
    folder.registry.write_beat(*pair(folder.join("mute")), 2, b'{"count": "many"}')
    peers = Peers(folder.experiment, "own", LONG)
    peers.look()
    assert list(peers.present()) == ["mute"]


def test_a_launcher_of_ones_own_needs_only_a_folder(tmp_path: Path) -> None:
    with FolderCommunication(str(tmp_path), "game", "node-0", deadline_s=0.2) as communication:
        coordinator = GameCoordinator(communication)
        assert communication.get_id() == "node-0"
        assert communication.all_gather_object({3: (1, 2.5)}) == {"node-0": {3: (1, 2.5)}}
        assert (communication.step_, communication.stage_) == (1, 0)  # nobody told it the round
        communication.step_ = 4
        communication.all_gather_object("answers")
        communication.all_gather_object("judgements")
        assert communication.moment == Moment(4, 2)
        assert coordinator.get_round_and_stage() == (4, 2)
        communication.put({"level": 2}, b"proposer")
        communication.put({"level": 3}, b"proposer")
        assert communication.get(b"proposer") == {"node-0": {"level": 3}}
        assert communication.get(b"../../../etc") == {}
        with pytest.raises(UserError, match="another process of this machine"):
            FolderCommunication(str(tmp_path), "game", "node-0")
    store, paths = Store(str(tmp_path)), ExperimentPaths("game")
    (life,) = store.names(paths.rollouts_parent)
    assert sorted(store.names(f"{paths.rollouts_parent}/{life}")) == ["000000", "values"]


def test_a_launcher_that_is_started_again_goes_on_and_repeats_no_round(tmp_path: Path) -> None:
    def played(error: type[Exception] | None = None, **said: int) -> list[int]:
        rounds = []
        with FolderCommunication(str(tmp_path), "game", "node-0", deadline_s=0.2) as communication:
            for _ in range(2):
                communication.step_ = said.get("begin", communication.step_)
                communication.all_gather_object("answers")
                rounds.append(communication.step_)
                communication.step_ += 1
            if error is not None:
                raise error
        return rounds

    assert played() == [0, 1]
    assert played() == [2, 3]
    with pytest.raises(UserError, match=r"has played rounds 0 to 3 of 'game' before: begin with step_ = 4"):
        played(begin=0)
    with pytest.raises(ZeroDivisionError):
        played(ZeroDivisionError)
    assert played()[0] == 5, "the round in which an error came is played again"


def test_a_coordinator_refuses_what_cannot_be(tmp_path: Path) -> None:
    with FolderCommunication(str(tmp_path), "game", "node-0", deadline_s=0.2) as communication:
        communication.step_ = 2
        coordinator = GameCoordinator(communication, bootnodes=lambda: ["/ip4/127.0.0.1/tcp/1"])
        coordinator.register_peer("node-0")
        coordinator.submit_reward(2, 0, 0.5, "node-0")
        coordinator.submit_winners(2, ["node-0", "node-1"], "node-0")
        assert (communication.telling.reward, communication.telling.vote) == (0.5, "node-1")
        assert coordinator.get_bootnodes() == ["/ip4/127.0.0.1/tcp/1"]
        for wrong in (
            lambda: coordinator.register_peer("node-1"),
            lambda: coordinator.submit_reward(3, 0, 0.5, "node-0"),
            lambda: coordinator.submit_reward(2, 0, float("nan"), "node-0"),
            lambda: coordinator.submit_winners(-1, ["node-1"], "node-0"),
        ):
            with pytest.raises(ImpossibleSubmission):
                wrong()


def test_an_experiment_that_is_no_games_is_refused(tmp_path: Path) -> None:
    init_experiment(str(tmp_path), "learns")
    with pytest.raises(UserError, match="does not play a game"):
        FolderCommunication(str(tmp_path), "learns", "node-0")
    with pytest.raises(UserError, match="cannot name a node"):
        FolderCommunication(str(tmp_path), "game", "Node 0")
