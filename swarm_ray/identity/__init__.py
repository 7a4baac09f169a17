"""Who a node is: its key, the peer id and the animal name that follow from it, and where the key is kept."""

from swarm_ray.identity.animals import animal_name
from swarm_ray.identity.files import (
    Identity,
    identity_for,
    import_identity,
    load_identity,
    load_or_new,
    new_identity,
)
from swarm_ray.identity.held import HeldIdentity, gone_incarnations
from swarm_ray.identity.peer_ids import is_peer_id
from swarm_ray.identity.places import identities_folder, identity_file, names_in

__all__ = [
    "HeldIdentity",
    "Identity",
    "animal_name",
    "gone_incarnations",
    "identities_folder",
    "identity_file",
    "identity_for",
    "import_identity",
    "is_peer_id",
    "load_identity",
    "load_or_new",
    "names_in",
    "new_identity",
]
