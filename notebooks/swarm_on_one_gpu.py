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
# # A swarm on one machine
#
# Several small language models answer reasoning questions, are rewarded where they are right, and learn from their
# own answers and from those of the others (SAPO, [arXiv 2509.08721](https://arxiv.org/abs/2509.08721)). This notebook
# runs such a swarm and, beside it, the same models without sharing, and compares the two.
#
# Run the cells from top to bottom. As it stands nothing is downloaded but packages, and a CPU is enough; for a
# pretrained model on a GPU change one line of the *Settings*.
#
# **On Colab.** Everything here happens on this one VM. Before you spread a swarm over several VMs, read Colab's
# FAQ: workers of a distributed computation are not allowed on runtimes that no compute units pay for, and nobody
# may use several accounts to get around a limit. So: compute units, and one account.

# %% [markdown]
# ## Install
#
# Does nothing where Swarm Ray is installed already. The package is in no index yet, so name what pip shall take: a
# checkout (a folder, on Drive say), a wheel, or a git address. The torch, transformers and fsspec that are here stay.

# %%
#@title Install { display-mode: "form" }
package = ""  #@param {type:"string"}

import importlib.util
import subprocess
import sys

if importlib.util.find_spec("swarm_ray") is None:
    if not package:
        raise SystemExit("Swarm Ray is not installed: put its folder, wheel or git address into `package`.")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", package], check=True)

from importlib.metadata import version

print(", ".join(f"{name} {version(name)}" for name in ("swarm-ray", "ray", "torch", "transformers")))

# %% [markdown]
# ## Where the experiments go
#
# Each experiment is a folder under `root`: its configuration, every rollout that was shared, the state of every
# round, and the metrics. On Colab `use_drive` puts them on your Google Drive, where they outlive the VM; it asks for
# your permission, and each round then takes longer.

# %%
#@title Folder { display-mode: "form" }
root = "runs"  #@param {type:"string"}
use_drive = False  #@param {type:"boolean"}
mount_point = "/content/drive"  #@param {type:"string"}

if use_drive:
    try:
        from google.colab import drive
    except ImportError:
        raise SystemExit("Google Drive can be mounted on Colab only: set `use_drive` to False.") from None
    drive.mount(mount_point)
    root = f"{mount_point}/MyDrive/swarm-ray"

print("experiments go to", root)

# %% [markdown]
# ## Settings
#
# * `model`: `tiny` is a model that is made here, on the CPU, in about a minute: it can do the questions but hides it,
#   as a stand-in for a pretrained model whose skill shows rarely. **With `Qwen/Qwen2.5-0.5B-Instruct` in this one line
#   the swarm is a pretrained one** on the nine specialties of the paper, at a learning rate of 1e-6; it needs a GPU,
#   and each node takes about 8 GB of it. What does not fit is refused before anything is loaded.
# * `local` / `external`: questions that a node answers itself in a round, and rollouts of the others that it
#   learns from at most. The swarm without sharing answers `local + external` itself.
# * `more`: any other keys, as in `seed=1 completions=16`. `swarm-ray config --preset tiny` explains all of them.

# %%
#@title Settings { display-mode: "form" }
model = "tiny"  #@param ["tiny", "Qwen/Qwen2.5-0.5B-Instruct"] {allow-input: true}
nodes = 8  #@param {type:"integer"}
rounds = 100  #@param {type:"integer"}
local = 4  #@param {type:"integer"}
external = 4  #@param {type:"integer"}
more = ""  #@param {type:"string"}
experiment = ""  #@param {type:"string"}

from swarm_ray import load_config

tiny = model == "tiny"
pretrained = [] if tiny else [f"policy.model={model}", "grpo.learning_rate=1e-6"]
sizes = [f"nodes={nodes}", f"rounds={rounds}", f"local={local}", f"external={external}"]
config = load_config("tiny" if tiny else "paper", overrides=[*pretrained, *sizes, *more.split()])

print(f"{config.nodes} nodes, {config.rounds} rounds, {config.local} local / {config.external} external, "
      f"{config.completions} completions per question, seed {config.seed}")

# %% [markdown]
# ## Ray
#
# Ray runs the swarm's parts as processes of this machine. One that you have started yourself is used as it is.

# %%
import os

import ray

if not ray.is_initialized():
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # on this machine alone: no token to keep
    ray.init(
        include_dashboard=False, log_to_driver=False, configure_logging=False, logging_level="ERROR",
        object_store_memory=200_000_000,
    )

print({name: count for name, count in ray.cluster_resources().items() if name in ("CPU", "GPU")})

# %% [markdown]
# ## Run
#
# Shows both swarms while they learn: the round, and the mean reward of their own answers. **To stop early,
# interrupt this cell (the square)**: both swarms end in order, and the cells below show what there is.

# %%
from swarm_ray import simulate

run = simulate(config, root=root, experiment=experiment or None, baseline=True)
print(run.message)

# %% [markdown]
# ## Results
#
# `cumulative` is the reward of the nodes' own answers, summed over nodes and rounds; `vs` compares it with the swarm
# without sharing. `reward` is its mean over the first and the last tenth of the rounds, and `pass@1` the share of
# right answers to questions that were held out, before and after. One run is one draw: other seeds give other figures.

# %%
from swarm_ray.tables import comparison_table

results = run.results()
print(comparison_table(results))

# %% [markdown]
# ## Curves
#
# Left: mean reward per round, with a moving average and a band from the lowest to the highest node. Right: its sum.

# %%
from pathlib import Path

from IPython.display import Image, display

from swarm_ray.report import reward_figure

picture = reward_figure(run.root, run.experiments, Path(run.root, "experiments", run.experiments[0], "reward.png"))
display(Image(filename=str(picture)))

# %% [markdown]
# ## Stop
#
# Ends what may still run, and Ray. The folder keeps everything; `swarm-ray list --root ...` shows it from a terminal.

# %%
run.stop()
ray.shutdown()
print("experiments in", root, ":", ", ".join(run.experiments))
