"""Rollouts that travel directly between nodes, with the folder for all that fails."""
