"""What the node lets peers store here, and believes of their answers; within the link's process."""

from __future__ import annotations

from hivemind.dht.protocol import DHTProtocol
from hivemind.dht.validation import DHTRecord, RecordValidatorBase
from hivemind.utils.timed_storage import get_dht_time

from swarm_ray.exchange.hivemind.holding import Sought, unpacked

MOST_EXPIRES_S = 86_400.0


class Gatekeeper(RecordValidatorBase):
    """Passes parts of values alone and, of those that are just sought, such as may be the right ones.

    hivemind asks it when a peer stores something here and when one answers a search, which goes on past what is
    refused.
    """

    def __init__(self) -> None:
        self.sought: dict[bytes, Sought] = {}

    def validate(self, record: DHTRecord) -> bool:
        """Whether to take it."""
        if record.subkey != DHTProtocol.IS_REGULAR_VALUE:
            return False
        if not record.expiration_time <= get_dht_time() + MOST_EXPIRES_S:  # so that NaN is refused
            return False
        sought = self.sought.get(record.key)
        if sought is not None:
            return sought.fits(record.value)
        return unpacked(record.value) is not None
