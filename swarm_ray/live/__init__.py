"""The live view: where a swarm stands, as plain data (`picture`) and as text (`view`).

The same picture is made from the folder alone (`folder`, for a swarm on other machines) and from what the actors of
this machine say (`swarm_ray.runtime.worker_view`). Neither torch nor Ray is loaded.
"""
