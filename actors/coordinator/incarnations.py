"""Which process life a node id belongs to: pure decisions over what was announced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swarm_ray.records.nodes import Registration


def first_and_older(announced: Mapping[str, Registration], preferred: str | None) -> tuple[str, ...]:
    """The incarnation to begin with, last, and before it those that it continues.

    Args:
        announced: what a node's incarnations said of themselves, at least one.
        preferred: the one that the state log named last.
    """
    roots = [name for name in sorted(announced) if announced[name].succeeds not in announced]
    first = next(iter(roots or sorted(announced))) if preferred not in announced else str(preferred)
    line = [first]
    while (before := announced[line[0]].succeeds) in announced and before not in line:
        line.insert(0, before)
    return tuple(line)


def heir_of(incarnations: Sequence[str], waiting: Mapping[str, Registration], *, free: bool) -> str | None:
    """The incarnation that takes a node over now; None while it stays with the one that has it.

    Args:
        incarnations: those that had the node, the present one last.
        waiting: what others announced.
        free: whether the present one is done, has failed or is silent.
    """
    others = [name for name in sorted(waiting) if name not in incarnations]
    named = [name for name in others if waiting[name].succeeds == incarnations[-1]]
    if named:
        return named[0]
    # What continues a further one that is waiting too has its turn after that one.
    roots = [name for name in others if waiting[name].succeeds not in others]
    return roots[0] if free and roots else None
