"""Which errors of the store mean that the folder is out of reach for now, and what waits can be kept and tried again."""

from __future__ import annotations

from drive_store import StoreDenied, StoreFull, StoreUnavailable

AWAY = (StoreUnavailable, StoreDenied, StoreFull)
"""Unmounted or half dead, no access, no space or quota: a later try may succeed."""
