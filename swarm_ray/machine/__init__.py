"""This machine: its own disk, its cache, its Ray, and the memory of its processes. No torch."""
