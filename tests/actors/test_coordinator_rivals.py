"""Two coordinators at once, both writing, in any order: nothing counts twice, nothing goes back, and rounds go on."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from rivals_for_tests import Rivals, answered_by

from swarm_ray.exchange.state_follower import decode_state

places = st.integers(0, 1)
steps = st.one_of(
    st.tuples(st.just("tick"), places, st.sampled_from([0.0, 0.15, 1.1, 2.5])),
    st.tuples(st.just("go"), places, st.sampled_from([1, 3, 9])),
    st.tuples(st.just("both"), places, st.sampled_from([1, 3, 9])),
    st.tuples(st.just("act"), places, st.just(0.0)),
    st.tuples(st.just("blind"), places, st.sampled_from([0.0, 1.0])),
    st.tuples(st.just("start"), places, st.just(0.0)),
)


def play(rivals: Rivals, schedule: list[tuple[str, int, float]]) -> None:
    rivals.start(0)
    for what, place, number in schedule:
        if what == "tick":
            rivals.tick(place, number)
        elif what in {"go", "both"}:
            rivals.go(int(number), *((0, 1) if what == "both" else (place,)))
        elif what == "act":
            rivals.nodes[place].act()
        elif what == "blind":
            rivals.blind(place, blind=bool(number))
        elif rivals.coordinators[place] is None or number:
            rivals.start(place)


def check(rivals: Rivals) -> None:
    """I2, I3 and I4."""
    chain = rivals.chain()
    records = [decode_state(entry) for entry in chain]
    accepted = [(ref.node, ref.step) for r in records if r.closed for ref in r.closed.accepted]
    assert len(accepted) == len(set(accepted))
    closed = [r.closed.round for r in records if r.closed]
    assert closed == sorted(set(closed))
    assert [entry.header.round for entry in chain] == sorted(entry.header.round for entry in chain)
    for node in rivals.nodes:
        positions = [entry.ref.position for entry in node.seen]
        assert positions == sorted(set(positions))
    answers = {key for record in records for key in answered_by(record)}
    expired = {node for r in records if r.answers for node in r.answers.expired}
    unanswered = [key for node in rivals.nodes for key in node.published if key not in answers]
    assert not unanswered or expired, unanswered


@settings(max_examples=25)
@given(st.lists(steps, max_size=30))
def test_in_any_order(schedule: list[tuple[str, int, float]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rivals = Rivals(Path(folder), rounds=20)
        play(rivals, schedule)
        assert rivals.settle() == "finished"
        check(rivals)


def test_both_write_and_the_log_stays_one(tmp_path: Path) -> None:
    """The one sleeps long enough to be succeeded, wakes up blind, and writes on."""
    rivals = Rivals(tmp_path, rounds=40)
    rivals.start(0)
    rivals.go(4, 0)
    rivals.start(1)
    rivals.tick(1, 0.15)
    rivals.blind(0, blind=True)
    rivals.blind(1, blind=True)
    rivals.go(25, 0, 1)
    names = [path.name for path in Path(rivals.folder.root).rglob("e*-s*.coordinator.*.json")]
    first, second = (
        {n.split("-")[1][:9] for n in names if n.startswith(epoch)} for epoch in ("e000001", "e000002")
    )
    assert len(first & second) > 3  # both have written records of the same sequence
    assert rivals.settle() == "finished"
    check(rivals)
