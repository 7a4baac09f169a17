"""The swarm's parts inside a machine: plain classes, wrapped once as Ray actors in `actors.remote`."""
