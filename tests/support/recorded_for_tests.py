"""What Ray 2.60 said of actors that died, recorded from real deaths; identifiers are made up."""

_HEAD = """The actor died unexpectedly before finishing this task.
	class_name: TrainerShell
	actor_id: 2dfcfcba7b36cb920cfffc7601000000
	pid: 6546
	namespace: swarm-ray-small-01234567
	ip: 192.0.2.2
"""

KILLED = (
    _HEAD
    + "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: "
    "Worker unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the "
    "process was killed by the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) the "
    "worker crashed unexpectedly due to SIGSEGV or another unexpected error."
)
ENDED_BY_HAND = _HEAD + "The actor is dead because it was killed by `ray.kill`."
UNAVAILABLE = (
    "The actor c22b4fa050a59f0a79135a1a01000000 is unavailable: The actor is temporarily unavailable: RpcError: RPC "
    "error: Socket closed rpc_code: 14. The task may or may not have been executed on the actor."
)
OWNER_DIED = (
    _HEAD
    + "The actor is dead because its owner has died. Owner Id: 01000000ffffffff Owner Ip address: 192.0.2.2 Owner "
    "worker exit type: SYSTEM_ERROR Worker exit detail: Owner's node has crashed."
)
_CREATION = (
    "The actor died because of an error raised in its creation task, \x1b[36mray::TrainerShell.__init__()\x1b[39m "
    "(pid=6574, ip=192.0.2.2, actor_id=48a1b35028d9278fe2a1355401000000, repr=<actors.remote.TrainerShell object>)\n"
    '  File "/somewhere/trainer.py", line 13, in __init__\n'
    "    self.nodes = self._load_nodes()\n"
    "                 ^^^^^^^^^^^^^^^^^^\n"
)
NO_MODULE = _CREATION + "ModuleNotFoundError: No module named 'not_there_at_all'"
TWO_LINES = _CREATION + "ValueError: bad thing\nsecond line"
OURS = _CREATION + "swarm_ray.errors.ModelError: 'gpt-9' cannot be loaded: no such model"
OF_THE_STORE = _CREATION + "drive_store.errors.StoreUnavailable: /x is not there; is it mounted?"
DEVICE_FULL = (
    _CREATION + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has 14.7 GiB"
)
MEMORY_MONITOR = """1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 192.0.2.2, \
ID: e9b911020f09a39e) was 11.92GB used / 12.68GB limit (0.940431)
OOM kill reason: Memory usage 12799000000B exceeded threshold of 12780000000B (95% of 13610000000B limit)
Object store memory usage: [- objects spillable: 0
- bytes spillable: 0
]
Ray killed 1 worker(s) based on the killing policy
Selected to kill: (Actor(1db4bbf8042c76a1b93b682101000000): job ID=01000000, lease ID=00000000c33320899c14311bfe, \
task name=TrainerShell.__init__, required resources={}, pid=7443, actual memory used=9.61GB, worker ID=dfbd0a8cb4)
]
Consider provisioning more memory on this node or reducing task parallelism by requesting more CPUs per task."""
