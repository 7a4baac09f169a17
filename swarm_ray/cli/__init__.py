"""The command `swarm-ray`: `main` joins the subcommands, which a table at the end of each module defines.

Neither torch nor Ray is imported for the commands that only read.
"""

from swarm_ray.cli.main import main

__all__ = ["main"]
