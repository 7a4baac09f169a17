"""Rollouts that travel directly over real links: receipts, asking, and the folder for whatever fails."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from folder_for_tests import Folder, incarnation, round_file
from link_for_tests import Deaf, started

from drive_store import payload_sha256
from swarm_ray.exchange.direct import DirectValues
from swarm_ray.exchange.folder import peer_file, resolve_files
from swarm_ray.exchange.hivemind.link import DhtLink
from swarm_ray.exchange.retransmission import FULL_ROUNDS, Requesters
from swarm_ray.exchange.validation import decode_round_file, value_key
from swarm_ray.records.nodes import Reached
from swarm_ray.records.rollouts import Receipt, RoundFile, Wanted
from swarm_ray.records.state import FileRef, Moment
from swarm_ray.sapo.pool import PeerFile

UID = "0123456789abcdef"
A, B = "node-1", "node-2"


class Peers:
    """Two trainers with a node each, over one folder."""

    def __init__(self, tmp_path: Path, links: tuple[Any, Any]) -> None:
        self.folder = Folder(tmp_path)
        for node in (A, B):
            self.folder.join(node)
        self.values = {node: self.values_of(node) for node in (A, B)}
        self.values[A].link, self.values[B].link = links

    def values_of(self, node: str, life: str = "") -> DirectValues:
        lives = {node: life or incarnation(node)}
        return DirectValues(self.folder.address.open(), UID, lives, staleness=4, value_s=2.0)

    def said(self, node: str, file: RoundFile, **receipt: Any) -> tuple[FileRef, RoundFile]:
        """A file of round 0 that says something else in its receipt."""
        assert file.receipt is not None
        said = msgspec.structs.replace(file, receipt=msgspec.structs.replace(file.receipt, **receipt))
        return self.folder.publish(node, 0, msgspec.msgpack.encode(said)), said

    def publish(self, node: str, number: int, **said: Any) -> tuple[FileRef, RoundFile]:
        """A node's file of a round, as the folder has it."""
        values, packed = self.values[node], round_file(step=number, **said)
        if not packed.alone and values.reaches_peers(number):
            packed, _ = values.pack(node, Moment(number), packed)
        payload = msgspec.msgpack.encode(msgspec.structs.replace(packed, wants=values.wants))
        return self.folder.publish(node, number, payload), decode_round_file(payload)

    def gather(self, node: str, number: int, *files: tuple[FileRef, RoundFile]) -> list[PeerFile]:
        """What the node's trainer makes of others' files."""
        values = self.values[node]
        return [peer_file(found) for found in resolve_files(values, number, files) + values.late_values()]


@pytest.fixture
def peers(tmp_path: Path, links: tuple[DhtLink, DhtLink]) -> Peers:
    return Peers(tmp_path, links)


@pytest.fixture
def deaf(peers: Peers, links: tuple[DhtLink, DhtLink]) -> Deaf:
    """The link of the second of them, which hears nobody."""
    peers.values[B].link = deaf = Deaf(links[1])
    return deaf


def test_the_folder_has_a_receipt_and_the_peer_has_the_rollouts(peers: Peers) -> None:
    ref, file = peers.publish(A, 0, vote=B)
    assert file.receipt is not None
    assert (file.rollouts, file.receipt.rollouts, file.reward, file.vote) == ((), 1, 0.5, B)
    (found,) = peers.gather(B, 0, (ref, file))
    assert found == PeerFile(A, round_file(step=0).rollouts)
    assert peers.values[B].reached == Reached(direct=(A,))
    assert peers.values[B].problem == ""


def test_what_cannot_be_fetched_is_asked_for_and_comes_through_the_folder(peers: Peers, deaf: Deaf) -> None:
    first = peers.publish(A, 0)
    assert first[1].receipt is not None
    (refused,) = peers.gather(B, 0, first)
    assert "could not be fetched directly" in refused.refused
    assert peers.values[B].reached == Reached(asked=(A,))
    assert peers.values[B].problem == "nobody answers"

    second, asking = peers.publish(A, 1), peers.publish(B, 1)
    assert asking[1].wants == (Wanted(A, first[1].receipt.sha256),)
    assert second[1].receipt is not None, "A had not heard of it when it published"
    peers.gather(A, 1, asking)
    found = peers.gather(B, 1, second)
    assert [f.rollouts for f in found] == [round_file(step=1).rollouts, round_file(step=0).rollouts], (
        "both lie in the folder by now: that of round 1 would have been asked for next"
    )

    whole = peers.publish(A, 2)
    assert whole[1].receipt is None
    assert whole[1].rollouts == round_file(step=2).rollouts
    assert peers.publish(B, 2)[1].wants == ()
    (found_whole,) = peers.gather(B, 2, whole)
    assert found_whole.rollouts
    assert peers.values[B].reached == Reached(folder=(A,))

    peers.gather(A, 1 + FULL_ROUNDS, peers.publish(B, 1 + FULL_ROUNDS))
    deaf.deaf = False
    direct = peers.publish(A, 2 + FULL_ROUNDS)
    assert direct[1].receipt is not None, "after a while it is tried again"
    assert peers.gather(B, 2 + FULL_ROUNDS, direct)[0].rollouts


def test_a_value_that_never_comes_is_given_up(peers: Peers, deaf: Deaf) -> None:
    peers.gather(B, 0, peers.publish(A, 0))
    assert peers.publish(B, 4)[1].wants
    assert peers.gather(B, 5) == []
    assert peers.publish(B, 6)[1].wants == ()


def test_without_a_link_files_are_whole_and_receipts_are_asked_for(peers: Peers) -> None:
    """A worker that has no hivemind, in a swarm of workers that have."""
    peers.values[B].link = None
    ours = peers.publish(B, 0)
    assert ours[1].receipt is None
    assert peers.gather(A, 0, ours) == [PeerFile(B, ours[1].rollouts)]
    assert peers.values[A].reached == Reached(folder=(B,))
    (refused,) = peers.gather(B, 0, peers.publish(A, 0))
    assert refused.refused
    assert peers.publish(B, 1)[1].wants


def test_where_nobody_has_a_link_nothing_is_said_of_links(tmp_path: Path) -> None:
    peers = Peers(tmp_path, (None, None))
    assert peers.gather(B, 0, peers.publish(A, 0))[0].rollouts
    assert peers.values[B].reached is None


def test_a_link_that_has_died_leaves_whole_files(tmp_path: Path, links: tuple[DhtLink, DhtLink]) -> None:
    alone = started()
    peers = Peers(tmp_path, (alone, links[1]))
    assert peers.publish(A, 0)[1].receipt is None, "nobody is connected to it"
    alone.join(links[0].multiaddrs, 5.0)
    assert peers.publish(A, 1)[1].receipt is not None
    alone.close()
    assert peers.publish(A, 2)[1].receipt is None


def test_a_step_taken_alone_has_its_rollouts_in_the_file(peers: Peers) -> None:
    assert peers.publish(A, 0, alone=True)[1].rollouts


def test_a_value_is_stored_again_by_the_next_process(peers: Peers) -> None:
    file = round_file(step=7)
    value = msgspec.msgpack.encode(file)
    key = value_key(UID, Moment(7), A, payload_sha256(value))
    peers.values[A].restore_value(A, Moment(7), value, [incarnation(A)])
    receipt = Receipt(key, payload_sha256(value), len(value), 1, 1)
    said = msgspec.structs.replace(file, rollouts=(), receipt=receipt)
    ref = peers.folder.publish(A, 7, msgspec.msgpack.encode(said))
    assert peers.gather(B, 7, (ref, said)) == [PeerFile(A, file.rollouts)]


HOSTILE = "../../../etc/passwd"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": "elsewhere"}, "another node's value"),
        ({"sha256": HOSTILE}, "another node's value"),
        ({"sha256": HOSTILE, "key": value_key(UID, Moment(0), A, HOSTILE)}, "without a hash"),
        ({"size": 1 << 40}, "bytes in"),
        ({"parts": 0}, "bytes in"),
        ({"parts": 10_000}, "bytes in"),
        ({"rollouts": 5}, "other contents than its receipt says"),
        ({"game": True}, "other contents than its receipt says"),
    ],
)
def test_a_strangers_receipt_is_refused(peers: Peers, changes: dict[str, Any], reason: str) -> None:
    _, file = peers.publish(A, 0)
    (found,) = peers.gather(B, 0, peers.said(A, file, **changes))
    assert reason in found.refused


def test_a_value_that_is_no_round_file_is_refused(peers: Peers) -> None:
    value = b"\xc1 no file of ours"
    sha256, link = payload_sha256(value), peers.values[A].link
    assert link is not None
    key = value_key(UID, Moment(0), A, sha256)
    parts = link.put(key, value, 2.0)
    file = msgspec.structs.replace(round_file(), rollouts=(), receipt=Receipt(key, sha256, 0, parts, 1))
    (found,) = peers.gather(B, 0, peers.said(A, file, size=len(value)))
    assert "not a round file" in found.refused


def test_another_node_cannot_take_a_values_place_by_naming_its_hash(peers: Peers) -> None:
    ref, file = peers.publish(A, 0)
    assert file.receipt is not None
    peers.folder.join("node-3")
    key = value_key(UID, Moment(0), "node-3", file.receipt.sha256)
    copied = peers.said("node-3", file, key=key)
    values = peers.values[B]
    values.link = None
    assert [found.refused[:9] for found in peers.gather(B, 0, (ref, file), copied)] == ["could not"] * 2
    assert set(peers.publish(B, 1)[1].wants) == {Wanted(n, file.receipt.sha256) for n in (A, "node-3")}
    values.link = peers.values[A].link
    found = {one.node: one for one in peers.gather(B, 0, copied, (ref, file))}
    assert found["node-3"].refused
    assert found[A].rollouts


def test_a_value_lies_beside_the_receipt_of_the_life_that_wrote_it(peers: Peers, deaf: Deaf) -> None:
    """A step that a process took over from its predecessor: the receipt stands under the former's name."""
    packed, value = peers.values[A].pack(A, Moment(0), round_file(step=0))
    ref = peers.folder.publish(A, 0, msgspec.msgpack.encode(packed))
    peers.values[A] = peers.values_of(A, "0a0b0c0d")
    peers.values[A].restore_value(A, Moment(0), value, [incarnation(A)])
    assert peers.gather(B, 0, (ref, packed))[0].refused
    peers.gather(A, 1, peers.publish(B, 1))
    assert [found.rollouts for found in peers.gather(B, 1)] == [round_file(step=0).rollouts]
    assert peers.values[A].problem == ""


def test_files_are_whole_for_longer_each_time_somebody_asks_again() -> None:
    askers, whole = Requesters(), []
    for number in range(100):
        whole.append(askers.carry_all(number, ["node-1"]))
        if not whole[-1]:
            askers.note("node-1", number)
    assert [n for n, is_whole in enumerate(whole) if not is_whole] == [0, 9, 26, 59]
    assert not askers.carry_all(1, ["node-2"]), "one who is gone is not carried for"
