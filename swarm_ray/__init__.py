"""Swarm Ray: swarms of small language models that learn to reason by sharing rollouts."""
