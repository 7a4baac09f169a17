"""Who a node is: its key, the peer id and the animal name that follow from it, and where the key is kept."""

from swarm_ray.identity.files import (
    Identity,
    IdentityLock,
    former_incarnations,
    identity_for,
    import_identity,
    load_identity,
    load_or_new,
    new_identity,
)
from swarm_ray.identity.folder import identities_folder, identity_file, identity_names
from swarm_ray.identity.keys import animal_name, is_peer_id

__all__ = [
    "Identity",
    "IdentityLock",
    "animal_name",
    "former_incarnations",
    "identities_folder",
    "identity_file",
    "identity_for",
    "identity_names",
    "import_identity",
    "is_peer_id",
    "load_identity",
    "load_or_new",
    "new_identity",
]
