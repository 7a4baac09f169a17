"""Animal names: what RL Swarm calls a node, by its own rule, which comes with GenRL."""

from __future__ import annotations


def animal_name(peer_id: str) -> str:
    """The animal name of a peer, `tall tame lion`; empty without the extra `genrl`, or without a peer id."""
    if not peer_id:
        return ""
    try:
        # This one module needs nothing: the rest of GenRL would load torch.
        from genrl.misc_utils.name_utils import get_name_from_peer_id
    except ModuleNotFoundError:
        return ""
    return str(get_name_from_peer_id(peer_id))
