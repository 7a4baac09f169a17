"""Recipes of games that come with Swarm Ray."""
