"""The state log as a ledger (async pace): what each peer published last, and no older than the staleness bound."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from swarm_ray.records.state import FileRef, StageClosed


def newest_per_peer(
    closings: Sequence[StageClosed], number: int, staleness: int, own: Collection[str]
) -> StageClosed:
    """What a node may learn from now: of each peer the newest file in the last `staleness` records.

    Args:
        closings: the records that are known, oldest first.
        number: the round that the node is in.
        staleness: S, the most records that a file may be old.
        own: nodes of this trainer, whose rollouts need not travel; they count as accepted.
    """
    newest: dict[str, FileRef] = {}
    for closing in closings[-staleness:]:
        for ref in closing.accepted:
            if ref.node not in newest or ref.step >= newest[ref.node].step:
                newest[ref.node] = ref
    here = [FileRef(node, "", "", "", 0) for node in own]
    peers = [newest[node] for node in sorted(newest) if node not in own]
    return msgspec.structs.replace(StageClosed.empty(number, 0), accepted=tuple(here + peers))
