"""The command `swarm-ray`: `main` has the table of subcommands, and a module each group of them.

Neither torch nor Ray is imported for the commands that only read.
"""

from swarm_ray.cli.main import main

__all__ = ["main"]
