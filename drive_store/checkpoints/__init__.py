"""Checkpoints: on the machine's own disk, and copies of them in the folder."""
