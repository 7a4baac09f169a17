"""Checkpoints of nodes: written beside the rounds, found again after a loss."""
