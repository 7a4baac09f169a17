"""Named configurations: YAML files laid over the defaults of `swarm_ray.config.schema`."""
