"""The command `swarm-ray`: what is asked, done, said, and answered as an exit status.

A module for each group of commands; `main` has the table of all of them. Neither torch nor Ray is imported for the
commands that only read.
"""

from swarm_ray.cli.main import main

__all__ = ["main"]
