"""Random streams: a function of (seed, node, step, purpose) alone, the same on every machine and for ever."""

from hypothesis import given
from hypothesis import strategies as st

from swarm_ray.tasks.streams import derive_seed, derive_stream

Key = tuple[int, str, int, str]
keys = st.tuples(
    st.integers(0, 2**40),
    st.sampled_from(["node-1", "node-11", "1", "a"]),
    st.integers(0, 10**6),
    st.sampled_from(["questions", "completions", "selection", "evaluation"]),
)


def test_the_values_stay_what_they_are() -> None:
    """A change would make every earlier experiment unrepeatable: it needs a new major version."""
    assert derive_seed(0, "node-0", 0, "questions") == 6_494_096_693_067_188_786
    assert derive_seed(7, "worker_2-1", 1999, "selection") == 3_061_865_596_884_922_827
    assert derive_stream(0, "node-0", 0, "questions").randrange(10**6) == 664861


@given(keys, keys)
def test_different_keys_give_different_streams(one: Key, other: Key) -> None:
    assert (derive_seed(*one) == derive_seed(*other)) == (one == other)
    assert 0 <= derive_seed(*one) < 2**63  # it fits every generator
