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
# # Train in a swarm on Colab
#
# This VM trains one or more nodes of a swarm that another VM coordinates (`colab_coordinator.ipynb`), over a folder of
# the same Google Drive. Open this notebook once per VM, and give every VM a node id of its own.
#
# Run the cells from top to bottom. **After a disconnect** run *Drive*, *Install*, *Keys* and *Settings* again, then *Run*: the
# node resumes from its newest checkpoint. **Keep *Run* running**: Colab takes a VM on which no cell runs.
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
# Runs at once. The swarm's settings come from the folder; here stands what this VM has of its own.
#
# * `experiment`: as in the coordinator's notebook. `node`: unique in the swarm, the same again after a disconnect.
# * `nodes_here`: nodes on this VM; `worker-1-0`, `worker-1-1`, … where there are several. Each of the 0.5B model takes
#   8 GB.
# * `wait_minutes`: how long to wait for the coordinator to make the experiment.
# * `more`: keys that each machine may have its own of, as in `policy.dtype=bfloat16 policy.micro_batch_tokens=8192`.

# %%
#@title Settings { display-mode: "form" }
experiment = "first"  #@param {type:"string"}
node = "worker-1"  #@param {type:"string"}
nodes_here = 1  #@param {type:"integer"}
wait_minutes = 60  #@param {type:"number"}
more = ""  #@param {type:"string"}

import shlex

overrides = shlex.split(more)
names = [node] if nodes_here == 1 else [f"{node}-{number}" for number in range(nodes_here)]
print(f"{experiment}: trained here: {', '.join(names)}", f"with {more}" if more else "")

# %% [markdown]
# ## Wait for the experiment
#
# Returns as soon as the coordinator has made the experiment and this VM sees it, which takes minutes on Drive at times;
# then prints its settings, what this VM has, and whether the node's id is new, known from before, or in use elsewhere.

# %%
#@title Wait for the experiment { display-mode: "form" }
from swarm_ray.colab import about_machine, check_node, wait_for_experiment

config = wait_for_experiment(root, experiment, within_s=60 * wait_minutes)
print(f"{config.policy.model}, {config.rounds} rounds, {config.local} local / {config.external} external, "
      f"{config.completions} completions, seed {config.seed}, pace {config.pace.mode}")
print(about_machine())
for name in names:
    print(check_node(root, experiment, name))

# %% [markdown]
# ## Peers
#
# Seconds, from the folder: where the experiment stands, and who is there. `seen` is how long ago a node wrote anything,
# by the clocks of both VMs.

# %%
#@title Peers { display-mode: "form" }
from swarm_ray import experiment_status
from swarm_ray.observe.status_tables import status_table

print(status_table(experiment_status(root, experiment)))

# %% [markdown]
# ## Run
#
# Trains until the experiment has ended: hours with `colab`, minutes with `tiny`. Shows one picture that is redrawn: the
# round, the nodes, their rewards, problems in words.
#
# **To leave, interrupt this cell** (the square): the node writes a checkpoint and its logs; the swarm continues without
# it. **To resume**, here or on another VM, run it again with the same `node`: it resumes from its newest checkpoint,
# and replays from the folder what came after. On another VM it first waits until its heartbeats have stopped for as
# long as the swarm waits for a silent node (10 minutes with `colab`).
#
# When Drive is out of reach it is mounted again from here; training continues meanwhile. A tracker or a hub that
# you have switched on by `more` (`tracking.wandb=online`, `hub.repository=…`) needs `WANDB_API_KEY` or `HF_TOKEN`: from
# Colab's secrets (the key symbol at the left; give this notebook access), else from the environment, else you are
# asked.

# %%
#@title Run { display-mode: "form" }
from swarm_ray import work
from swarm_ray.colab import remounter, secrets_needed, take_secret, wait_for_experiment
from swarm_ray.config.load import join_config

config = join_config(wait_for_experiment(root, experiment, within_s=60 * wait_minutes), overrides)
for secret in secrets_needed(config):
    print(take_secret(secret))
remount = remounter(mount_point, print) if use_drive else None
run = work(root, experiment, node, nodes_here, overrides, on_disconnect=remount)
print(run.message)

# %% [markdown]
# ## Results
#
# Seconds. The swarm's own figures; `monitor_experiment.ipynb` shows more, and writes a report.

# %%
#@title Results { display-mode: "form" }
from swarm_ray import compare_experiments
from swarm_ray.observe.status_tables import comparison_table

problems = []  # of a log that Drive has not shown whole yet
print(comparison_table(compare_experiments(root, [experiment], problems)), *problems, sep="\n")

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

# %% [markdown]
# ## When something is wrong
#
# | what you see | what it is | what to do |
# |---|---|---|
# | `no experiment '…' in … after … s` | The coordinator's notebook has not been run, `folder` or `experiment` differs, the VMs have different accounts, or Drive has not shown the file yet (up to minutes) | Compare *Drive* and *Settings* of both notebooks; run *Wait for the experiment* again |
# | `waiting for 2 node(s) to register`, and nothing happens | Round 0 waits for `expect` nodes | Start the missing workers, or stop the coordinator and run it again with a smaller `expect` |
# | `the shared folder is out of reach`, `Transport endpoint is not connected`, `The mount has died` | Drive's daemon on this VM has died, often after hours | Nothing: it is mounted again, training continues, and what was published meanwhile is published again. If it cannot be mounted: interrupt, *Drive*, *Run* |
# | `on Drive it means a timeout, a quota or too full a folder` (`[Errno 5]`) | As it says | It is tried again by itself. If it stays: empty Drive's trash, make space, and do not put `folder` among thousands of files |
# | `An unmounted Drive looks like an empty folder`, `is it mounted?` | The mount is half dead, or Drive is not mounted and the folder is one of this VM's own disk | *Drive*, then *Run*. Nothing is written into such a folder |
# | `Free some space (on Drive the trash counts until it is emptied)` | The Drive is full: a free one has 15 GB, and a checkpoint of the 0.5B model takes 6 | Make space, empty the trash; training continues meanwhile, within `retention.spool_bytes` |
# | `node … is alive on another machine` | Another VM has the same `node` | Give each VM an id of its own, or end the other one |
# | `… on another machine; waiting … s` | The node was trained elsewhere before; it makes sure that the earlier VM is gone | Wait |
# | `node … is in the hands of another process of this machine` | An earlier kernel of this VM still trains it | *Runtime*, *Restart session*; then *Drive*, *Install*, *Keys*, *Settings*, *Run* |
# | `trains alone: no heartbeat from a coordinator` | The coordinator's VM has gone | Run the coordinator's notebook again, on any VM of the same account; the node is taken back |
# | `no answer yet to its file…`, `have no answer yet` | Published, and no state record has named it yet: Drive takes minutes | Nothing; it is published again if it was lost |
# | `would take about … bytes`, `room for …` | The model does not fit this GPU | A larger GPU, fewer `nodes_here`, or in `more`: `policy.micro_batch_tokens=1024` |
# | `memory is used up` | Memory ran out while training | It is started again; if it comes back, as above |
# | `LEARNED NOTHING` | No group of answers had an advantage in the last rounds: all right or all wrong | Easier questions, more completions, or a model that is sometimes right |
# | `nothing is left to train` | All rounds are over | *Results*. For more, a larger `rounds` in the coordinator's notebook |
# | `the experiment's value holds for all its nodes` | `more` names a key that is the whole swarm's | Leave it out; it comes from the folder |
# | `NOTHING WAS FLUSHED` | Drive was not mounted when you flushed | *Drive*, *Run* for a moment, then *Flush* |
# | `no access to it among Colab's secrets`, `Colab did not answer` | Colab gives secrets to the notebook in the browser alone, and only those you ticked for it | Tick the secret's access, or type it when asked |
#
# A node that is given up says why, in *Peers* and in the picture of *Run*; `docs/recovery.md` says what each loss
# costs.
