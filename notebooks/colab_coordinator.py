# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Coordinate a swarm on Colab
#
# This VM opens and closes the rounds of a swarm whose members meet in a folder of your Google Drive, and may train
# nodes itself. Every other VM runs `colab_worker.ipynb`, and `monitor_experiment.ipynb` watches from anywhere.
#
# Run the cells from top to bottom. **After a disconnect** run *Drive*, *Install*, *Keys* and *Settings* again, then any cell
# you like: the experiment, its rounds and its checkpoints are found. **Keep *Run* running**: Colab takes a VM on which
# no cell runs.
#
# **Colab's rules.** Its FAQ forbids workers of a distributed computation on runtimes that no compute units pay for,
# and, for everybody, several accounts to get around a limit. So every VM of a swarm needs compute units, and all of
# them belong to one account.

# %% [markdown]
# ## Drive
#
# Asks for your permission once, and takes about ten seconds; prints where experiments lie. `mount_point` may hold no
# space, `folder` may. With `use_drive` off, `folder` is any folder of this machine that all members of the swarm see.

# %%
#@title Drive { display-mode: "form" }
use_drive = True  #@param {type:"boolean"}
mount_point = "/content/drive"  #@param {type:"string"}
folder = "swarm-ray"  #@param {type:"string"}

root = f"{mount_point}/MyDrive/{folder}" if use_drive else folder
if use_drive:
    try:
        from google.colab import drive
    except ImportError:
        raise SystemExit("Google Drive can be mounted on Colab only: set `use_drive` to False.") from None
    drive.mount(mount_point)
print("experiments lie in", root)

# %% [markdown]
# ## Install
#
# One to three minutes on a fresh VM, seconds where Swarm Ray is installed already. The package is in no index yet, so
# name what pip installs: a wheel or a folder (on your Drive, say), or a git address. The torch, transformers, fsspec,
# numpy, pandas and pyarrow that are here stay: pip is held to their versions, the table shows them before and after,
# and the cell fails if one has changed.

# %%
#@title Install { display-mode: "form" }
package = ""  #@param {type:"string"}

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

STAY = ("torch", "transformers", "fsspec", "numpy", "pandas", "pyarrow")


def versions():
    return {name: version(name) for name in STAY if importlib.util.find_spec(name)}


before = versions()
if importlib.util.find_spec("swarm_ray") is None:
    if not package:
        raise SystemExit("Swarm Ray is not installed: put its folder, wheel or git address into `package`.")
    if Path(package).is_dir():  # pip builds where the folder lies, which may be read-only or shared
        parts = shutil.ignore_patterns(".git", ".venv", "build", "runs")
        package = str(shutil.copytree(package, Path(tempfile.mkdtemp(), "swarm-ray"), symlinks=True, ignore=parts))
    Path("stay.txt").write_text("".join(f"{name}=={found}\n" for name, found in before.items()))
    pip = [sys.executable, "-m", "pip", "install", "--constraint", "stay.txt", package]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"pip could not install {package!r}:\n{(done.stdout + done.stderr)[-2000:]}")
    importlib.invalidate_caches()
after = versions()
for name, found in after.items():
    print(f"{name:13}{before.get(name, 'not here'):16}{found}")
changed = [name for name in before if after.get(name) != before[name]]
if changed:
    raise SystemExit(f"pip has changed {', '.join(changed)}: delete this runtime and start over (Runtime menu).")
print(f"{'swarm-ray':29}{version('swarm-ray')}\n{'ray':29}{version('ray')}")

# %% [markdown]
# ## Keys
#
# Runs at once. `identities` is a folder of your own Drive that you share with nobody: it keeps the nodes' keys, so that a
# node has its peer id and its animal name again when this VM is gone. Left empty, keys stay on the VM.

# %%
#@title Keys { display-mode: "form" }
identities = "swarm-ray-identities"  #@param {type:"string"}

import os

if use_drive and identities:
    os.environ["SWARM_RAY_IDENTITIES"] = f"{mount_point}/MyDrive/{identities}"
print("keys lie in", os.environ.get("SWARM_RAY_IDENTITIES", "this VM's own folder"))

# %% [markdown]
# ## Settings
#
# Runs at once and prints what was asked for. A new experiment begins with `preset`, and the forms lie over it:
#
# * `preset`: `colab` is Qwen2.5-0.5B-Instruct on the paper's nine specialties, at a pace that suits Drive (a record
#   every 2 to 10 minutes, nobody waits); it needs a GPU of 15 GB. `tiny` is a model made for trying things: minutes on
#   a CPU.
# * `expect`: the first round opens when this many nodes have registered, those of this VM included.
# * `local` / `external`: questions that a node answers itself in a round, and rollouts of others that it learns from at
#   most.
# * `train_here`: also train `nodes_here` nodes on this VM; `node` names them (`coordinator-0`, `coordinator-1`, … where
#   there are several).
# * `more`: any other keys, as in `seed=1 policy.dtype=bfloat16 tracking.wandb=offline`. `swarm-ray config --preset
#   colab` explains all of them.
#
# In an existing experiment the model, tasks, seeds, splits and completions are fixed; `rounds` and the
# pace may change.

# %%
#@title Settings { display-mode: "form" }
experiment = "first"  #@param {type:"string"}
preset = "colab"  #@param ["colab", "paper", "tiny"]
expect = 2  #@param {type:"integer"}
rounds = 100  #@param {type:"integer"}
local = 4  #@param {type:"integer"}
external = 4  #@param {type:"integer"}
train_here = True  #@param {type:"boolean"}
node = "coordinator"  #@param {type:"string"}
nodes_here = 1  #@param {type:"integer"}
more = ""  #@param {type:"string"}

import shlex

sizes = [f"rounds={rounds}", f"local={local}", f"external={external}", f"pace.expect={expect}"]
overrides = [*sizes, *shlex.split(more)]
names = [node] if nodes_here == 1 else [f"{node}-{number}" for number in range(nodes_here)]
train = names if train_here else []
print(f"{experiment}: {preset} with {', '.join(overrides)}; trained here: {', '.join(train) or 'nothing'}")

# %% [markdown]
# ## Identity
#
# Seconds. Prints what this VM has, and for each node of it whether its id is new, known from before, or in use
# elsewhere. A node is its id: on a new VM the same id resumes where it stopped, and two VMs must not have the same one.

# %%
#@title Identity { display-mode: "form" }
from swarm_ray.colab import about_machine, check_node

print(about_machine())
for name in train:
    print(check_node(root, experiment, name))

# %% [markdown]
# ## Experiment
#
# Makes the experiment's folder, or finds the one of that name, and prints its settings and where it stands. Nothing
# runs yet. A setting that is fixed and differs is refused in one line: take another name in *Settings*.

# %%
#@title Experiment { display-mode: "form" }
from swarm_ray import experiment_status
from swarm_ray.colab import begin_experiment
from swarm_ray.observe.status_tables import status_table

config = begin_experiment(root, experiment, preset, overrides)
print(f"{config.policy.model}, {config.rounds} rounds, {config.local} local / {config.external} external, "
      f"{config.completions} completions, seed {config.seed}, pace {config.pace.mode}")
print(status_table(experiment_status(root, experiment)))

# %% [markdown]
# ## Ray's dashboard (optional)
#
# Only before *Run*, since that cell keeps the kernel: starts Ray with its dashboard, and shows it below. It needs
# `ray[default]`, and shows processes and memory, not rewards; leave it off unless you look for a fault.

# %%
#@title Ray's dashboard { display-mode: "form" }
dashboard = False  #@param {type:"boolean"}

if dashboard:
    import os

    import ray
    from google.colab import output

    from swarm_ray.colab import begin_experiment, secrets_needed, take_secret

    for secret in secrets_needed(begin_experiment(root, experiment, preset, overrides)):
        print(take_secret(secret))  # Ray's processes inherit what is there when it starts
    os.environ["RAY_AUTH_MODE"] = "disabled"  # it listens on this VM alone, and Colab's frame has no token
    started = ray.init(
        include_dashboard=True, log_to_driver=False, configure_logging=False, logging_level="ERROR",
        object_store_memory=200_000_000, address="local",
    )
    output.serve_kernel_port_as_iframe(int(started.dashboard_url.rpartition(":")[2]), height="600")

# %% [markdown]
# ## Run
#
# Coordinates, and trains here if you said so, until all rounds are over: hours with `colab`, minutes with `tiny`. Shows
# one picture that is redrawn: the round, the nodes, their rewards, problems in words. Starting takes half a minute, and
# with `colab` the first round waits for `expect` nodes.
#
# **To stop, interrupt this cell** (the square): it writes checkpoints and logs, ends the experiment as *stopped*, and
# the workers with it. **To resume**, run it again. When Drive is out of reach it is mounted again from here;
# training continues meanwhile.
#
# A tracker or a hub that you have switched on by `more` (`tracking.wandb=online`, `hub.repository=…`) needs
# `WANDB_API_KEY` or `HF_TOKEN`: from Colab's secrets (the key symbol at the left; give this notebook access), else from
# the environment, else you are asked. They are not printed and not stored.

# %%
#@title Run { display-mode: "form" }
from swarm_ray import coordinate
from swarm_ray.colab import begin_experiment, remounter, secrets_needed, take_secret

config = begin_experiment(root, experiment, preset, overrides)
for secret in secrets_needed(config):
    print(take_secret(secret))
remount = remounter(mount_point, print) if use_drive else None
run = coordinate(config, root, experiment, train=train, on_disconnect=remount)
print(run.message)

# %% [markdown]
# ## Where it stands
#
# Seconds, from the folder alone: state, round, and a line for each node with its steps, reward and rollouts used.

# %%
#@title Where it stands { display-mode: "form" }
from swarm_ray import experiment_status
from swarm_ray.observe.status_tables import status_table

print(status_table(experiment_status(root, experiment)))

# %% [markdown]
# ## Results
#
# Seconds. `cumulative` is the reward of the nodes' own answers, summed over nodes and rounds; `pass@1` the share of
# right answers to questions that were held out, before and after. Left: mean reward per round, with a moving average
# and a band from the lowest to the highest node. Right: its sum. `monitor_experiment.ipynb` shows more, and writes a
# report.

# %%
#@title Results { display-mode: "form" }
from pathlib import Path

from IPython.display import Image, display

from swarm_ray import compare_experiments
from swarm_ray.observe.report import reward_figure
from swarm_ray.observe.status_tables import comparison_table

problems = []  # of a log that Drive has not shown whole yet
print(comparison_table(compare_experiments(root, [experiment], problems)), *problems, sep="\n")
display(Image(filename=str(reward_figure(root, [experiment], Path("reward.png").resolve(), problems=problems))))

# %% [markdown]
# ## Flush
#
# Before you give the VM back: uploads what Drive's cache on this VM still holds, and unmounts; minutes where a
# checkpoint waits. Prints whether that has happened. It does nothing where nothing is mounted, and then says so:
# Colab's own call reports success even then.

# %%
#@title Flush { display-mode: "form" }
from swarm_ray.colab import flush_drive

print(flush_drive(mount_point))
