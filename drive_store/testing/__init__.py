"""What the tests of a store need: a suite that every back end has to pass, and a store with faults."""

from __future__ import annotations

from drive_store.testing.conformance import StoreTests
from drive_store.testing.faults import Faults, FaultyStore

__all__ = ["Faults", "FaultyStore", "StoreTests"]
