"""`python -m swarm_ray.cli`."""

import sys

from swarm_ray.cli.main import main

sys.exit(main())
