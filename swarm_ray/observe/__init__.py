"""Watching a swarm and reporting on it: one snapshot, live displays, tables, pages."""
