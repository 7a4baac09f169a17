"""What travels between two links: sizes, many values, and what a link refuses to hand out."""

from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from link_for_tests import LONG_S, fetch, liar, process_of, sha256, started, value_of

from swarm_ray.errors import LinkError
from swarm_ray.exchange.hivemind.link import NONE, DhtLink
from swarm_ray.exchange.hivemind.messages import MAX_VALUE, Put, cut, part_keys

Links = tuple[DhtLink, DhtLink]
CYCLES, WARM = 500, 50
GROWTH_BYTES = 40 << 20


@pytest.mark.parametrize(
    ("size", "parts"), [(0, 1), (1, 1), (1_000_000, 1), (1_000_001, 2), (10_000_000, 10)]
)
def test_a_value_of_any_size_arrives_as_it_was(links: Links, size: int, parts: int) -> None:
    first, second = links
    value = value_of(size)
    assert first.put("exp/r1/size", value, LONG_S) == parts
    assert fetch(second, "exp/r1/size", value) == value
    assert fetch(first, "exp/r1/size", value) == value


def test_messages_above_sixteen_kib_do_not_end_the_process(links: Links) -> None:
    # hivemind's own DHT dies of the first few: its pipe cannot take them
    first, second = links
    before = process_of(first), process_of(second)
    for number in range(50):
        value = value_of(20_000, f"pipe {number}")
        first.put("exp/pipe", value, LONG_S)
        assert fetch(second, "exp/pipe", value) == value
    assert (process_of(first), process_of(second)) == before


def test_several_threads_share_a_link(links: Links) -> None:
    first, second = links
    values = {f"exp/thread-{number}": value_of(100_000, str(number)) for number in range(8)}

    def carried(key: str) -> bytes:
        first.put(key, values[key], LONG_S)
        return fetch(second, key, values[key])

    with ThreadPoolExecutor(len(values)) as pool:
        assert list(pool.map(carried, values)) == list(values.values())


def test_a_value_that_nobody_has_or_that_expired_is_missing(links: Links) -> None:
    links[0].put("exp/old", b"old", LONG_S, expires_s=-1.0)
    for key, link in (("exp/nothing", links[0]), ("exp/old", links[1])):
        with pytest.raises(LinkError, match=f"{key}: nobody who answers has it"):
            fetch(link, key, b"old")


def test_one_key_carries_several_values(links: Links) -> None:
    for value in (b"one", b"two"):
        links[0].put("exp/same", value, LONG_S)
    assert [fetch(links[1], "exp/same", value) for value in (b"two", b"one")] == [b"two", b"one"]


def test_a_value_above_the_limit_goes_through_the_folder(links: Links) -> None:
    with pytest.raises(LinkError, match=f"the DHT takes {MAX_VALUE}; the folder carries it"):
        links[0].put("exp/large", bytes(MAX_VALUE + 1), LONG_S)


@pytest.mark.parametrize(("parts", "size"), [(2, 5), (0, 5), (1, -1), (10**9, 10**15), (1, 1_000_001)])
def test_a_receipt_that_cannot_be_right_is_refused(links: Links, parts: int, size: int) -> None:
    with pytest.raises(LinkError, match="the receipt is wrong"):
        links[0].get("exp/receipt", parts, size, "ab" * 32, LONG_S)


def test_what_another_peer_stores_under_our_keys_is_passed_over(links: Links) -> None:
    first, second = links
    lies = ("bytes", "map", "subkeys", "pickle", "large", "empty")
    values = {f"exp/{lie}": value_of(13, lie) for lie in lies}
    stranger = liar(first.multiaddrs[0], values)
    late = None
    try:
        for key, value in values.items():
            with pytest.raises(LinkError, match=f"{key}: nobody who answers has it"):
                fetch(second, key, value)
            first.put(key, value, LONG_S)
            assert fetch(second, key, value) == value
        late = started(stranger.multiaddr, *first.multiaddrs)  # was not there when they were pushed
        assert {key: fetch(late, key, value) for key, value in values.items()} == values
    finally:
        stranger.close()
        if late is not None:
            late.close()


def test_parts_of_another_value_are_refused(links: Links) -> None:
    first, second = links
    value, other = value_of(1_500_000, "right"), value_of(1_500_000, "wrong")
    assert first._process is not None
    keys = part_keys("exp/parts", sha256(value), 2)
    first._process.call(Put(keys, cut("exp/parts", other), 60.0), NONE, LONG_S)
    with pytest.raises(LinkError, match="exp/parts: what the DHT holds under this key has another hash"):
        fetch(second, "exp/parts", value)


def test_five_hundred_values_leave_nothing_behind(links: Links) -> None:
    first, second = links
    processes, owner = [process_of(first), process_of(second)], psutil.Process()

    def carry(times: range) -> None:
        for number in times:
            value = value_of(20_000, f"cycle {number}")
            first.put(f"exp/cycle-{number}", value, LONG_S, expires_s=60.0)
            assert fetch(second, f"exp/cycle-{number}", value) == value

    def used() -> list[tuple[int, int]]:
        return [(len(p.children(recursive=True)), p.num_fds()) for p in (*processes, owner)]

    carry(range(WARM))
    before, memory = used(), [p.memory_info().rss for p in processes]
    *threads, of_owner = (p.num_threads() for p in (*processes, owner))
    carry(range(WARM, WARM + CYCLES))
    assert (used(), [p.num_threads() for p in processes]) == (before, threads)
    # Whatever else runs in the owner's process may start a few meanwhile.
    assert owner.num_threads() - of_owner < CYCLES // 25
    grown = [p.memory_info().rss - was for p, was in zip(processes, memory, strict=True)]
    assert max(grown) < GROWTH_BYTES + CYCLES * 20_000  # which are held still
