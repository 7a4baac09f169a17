"""Selection: never own rollouts, never those without advantage, at most J, and even over peers and slots."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from swarm_ray.records.rollouts import Completion
from swarm_ray.sapo.pool import ScoredRollout
from swarm_ray.sapo.selection import eligible, select_uniform
from swarm_ray.tasks.streams import derive_stream
from swarm_ray.tasks.task import Question

QUESTION = Question("coin", 1, 0, "Toss coin 0: ", "", {})


def rollout(node: str, number: int, rewards: tuple[float, ...] = (0.0, 1.0)) -> ScoredRollout:
    completions = tuple(Completion(f"{r}", r, finished=True) for r in rewards)
    return ScoredRollout(node, number, QUESTION, completions)


pools = st.lists(
    st.builds(
        rollout,
        st.sampled_from(["node-0", "node-1", "node-10", "node-2"]),
        st.integers(0, 3),
        st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=5).map(tuple),
    ),
    unique_by=lambda r: (r.node, r.number),
    max_size=16,
)


@given(pools, st.integers(0, 12))
def test_what_is_selected_is_external_informative_at_most_j(pool: list[ScoredRollout], count: int) -> None:
    candidates = eligible(pool, "node-1")
    found = select_uniform(candidates, count, derive_stream(0, "node-1", 0, "selection"))
    assert len(found) == min(count, len(candidates))
    assert len({(r.node, r.number) for r in found}) == len(found)
    assert all(r in pool and r.node != "node-1" and not r.zero_advantage for r in found)
    informative = [r for r in pool if len(set(r.rewards)) > 1 and r.node != "node-1"]
    assert len(candidates) == len(informative)


@given(pools, st.randoms(use_true_random=False), st.integers(0, 5))
def test_the_order_of_arrival_is_no_matter(pool: list[ScoredRollout], shuffler: object, count: int) -> None:
    shuffled = list(pool)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    once = select_uniform(eligible(pool, "node-1"), count, derive_stream(3, "node-1", 7, "selection"))
    again = select_uniform(eligible(shuffled, "node-1"), count, derive_stream(3, "node-1", 7, "selection"))
    assert once == again


def test_every_node_covers_its_peers_and_all_their_rollouts_evenly_and_in_its_own_way() -> None:
    """400 draws of 100 rounds over 7 peers with 28 rollouts; chi-square exceeds these bounds once in a thousand."""
    nodes = [f"node-{n}" for n in range(8)]
    pool, places = [rollout(node, number) for node in nodes for number in range(4)], set()
    for node in nodes:
        candidates = eligible(pool, node)
        streams = [derive_stream(0, node, step, "selection") for step in range(100)]
        selected = [r for stream in streams for r in select_uniform(candidates, 4, stream)]
        peers, rollouts = Counter(r.node for r in selected), Counter((r.node, r.number) for r in selected)
        assert set(peers) == {*nodes} - {node}
        assert len(rollouts) == 28
        assert sum((c - 400 / 7) ** 2 / (400 / 7) for c in peers.values()) < 22.5
        assert sum((c - 400 / 28) ** 2 / (400 / 28) for c in rollouts.values()) < 55.5
        # Relative to the node, so that equal streams would show.
        places.add(tuple((int(r.node[-1]) - int(node[-1])) % 8 * 4 + r.number for r in selected))
    assert len(places) == 8
