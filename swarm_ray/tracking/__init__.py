"""Trackers that follow a swarm beside its own logs: wandb, TensorBoard, Prometheus. Neither torch nor Ray."""
