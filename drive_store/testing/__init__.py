"""What the tests of a store need: a suite that every back end has to pass."""

from __future__ import annotations

from drive_store.testing.conformance import StoreTests

__all__ = ["StoreTests"]
