"""The data sets that the installed reasoning-gym has.

The library is imported when it is first needed, since that takes more than a second.
"""

from __future__ import annotations


def dataset_names() -> tuple[str, ...]:
    """All data sets of the installed reasoning-gym, sorted."""
    return tuple(sorted(_classes()))


def dataset_class(name: str) -> type | None:
    """The class of a data set, or None; `composite` is left out: it scores by other data sets' verifiers."""
    return _classes().get(name)


def dataset_configs() -> dict[str, type]:
    """The configuration class of each data set."""
    from reasoning_gym.factory import DATASETS

    return {name: config for name, (_, config) in DATASETS.items()}


def _classes() -> dict[str, type]:
    import reasoning_gym  # noqa: F401  (its import fills the registry)
    from reasoning_gym.factory import DATASETS

    return {name: cls for name, (cls, _) in DATASETS.items() if name != "composite"}
