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
# # The paper's comparison on one machine
#
# Several small language models answer reasoning questions, are rewarded where they are right, and learn from their own
# answers and from those of the others (SAPO, [arXiv 2509.08721](https://arxiv.org/abs/2509.08721)). The paper compares
# four swarms: 8 own rollouts per round and none of others, 6 and 2, 4 and 4, 2 and 6. This notebook runs all four on
# this one machine, and shows its table and its figures beside the paper's numbers.
#
# Run the cells from top to bottom. With these settings nothing is downloaded but packages, and a CPU is enough: one to two
# minutes for each swarm. **After a disconnect** run *Folder*, *Install* and *Settings* again, then any cell (*Ray*
# before *Run*): a swarm that is finished is not run again, and one that was interrupted resumes where it stopped, as long
# as the folder exists.
#
# **Colab's rules.** Everything here happens on this one VM. Before you spread a swarm over several VMs, read Colab's
# FAQ: it forbids workers of a distributed computation on runtimes that no compute units pay for, and, for everybody,
# several accounts to get around a limit.

# %% [markdown]
# ## Folder
#
# Where the experiments go: each is a folder with its configuration, every rollout that was shared, the state of every
# round, and the metrics. `use_drive` puts them on your Google Drive, where they outlive the VM; it asks for your
# permission once, and rounds then take longer.

# %%
#@title Folder { display-mode: "form" }
use_drive = False  #@param {type:"boolean"}
mount_point = "/content/drive"  #@param {type:"string"}
folder = "runs"  #@param {type:"string"}

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
# ## Settings
#
# Seconds; a pretrained model's settings are downloaded. Prints the four swarms.
#
# * `model`: `tiny` is a model that is made here, on the CPU, in about a minute: it can do the questions but hides it,
#   as a stand-in for a pretrained model whose skill shows rarely. **With `Qwen/Qwen2.5-0.5B-Instruct` in this one line
#   the swarms are pretrained ones** on the nine specialties of the paper, at a learning rate of 1e-6; they need a GPU,
#   about 8 GB for each node, and hours.
# * `nodes`: of each swarm; 0 takes as many as fit on the device, at most the paper's 8. That is computed before
#   anything is loaded.
# * `splits`: own and external rollouts of each swarm. The first is what the others are compared with.
# * `more`: any other keys, as in `seed=1 policy.dtype=bfloat16`. `swarm-ray config --preset tiny` explains all of them.

# %%
#@title Settings { display-mode: "form" }
model = "tiny"  #@param ["tiny", "Qwen/Qwen2.5-0.5B-Instruct"] {allow-input: true}
nodes = 0  #@param {type:"integer"}
rounds = 100  #@param {type:"integer"}
splits = "8/0 6/2 4/4 2/6"  #@param {type:"string"}
more = ""  #@param {type:"string"}
experiment = "one-gpu"  #@param {type:"string"}

import shlex

from swarm_ray.sweeps.splits import plan_splits

tiny = model == "tiny"
pretrained = [] if tiny else [f"policy.model={model}", "grpo.learning_rate=1e-6"]
overrides = [*pretrained, f"rounds={rounds}", *shlex.split(more)]
plan = plan_splits(root, experiment, splits, "tiny" if tiny else "paper", overrides, nodes)
for name, config in plan.items():
    print(f"{name}: {config.nodes} nodes, {config.rounds} rounds, {config.local} local / {config.external} external, "
          f"{config.completions} completions per question, seed {config.seed}")

# %% [markdown]
# ## Ray
#
# Ten seconds. Ray runs the swarm's parts as processes of this machine; one that you have started yourself is used as it
# is. A tracker or a hub that you have switched on by `more` needs `WANDB_API_KEY` or `HF_TOKEN`: from Colab's secrets
# (the key symbol at the left; give this notebook access), else from the environment, else you are asked.

# %%
#@title Ray { display-mode: "form" }
import os

import ray

from swarm_ray.colab import secrets_needed, take_secret

for secret in secrets_needed(next(iter(plan.values()))):
    print(take_secret(secret))  # Ray's processes inherit what is there when it starts
if not ray.is_initialized():
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # on this machine alone: no token to keep
    ray.init(
        include_dashboard=False, log_to_driver=False, configure_logging=False, logging_level="ERROR",
        object_store_memory=200_000_000, address="local",
    )
print({name: count for name, count in ray.cluster_resources().items() if name in ("CPU", "GPU")})

# %% [markdown]
# ## Run
#
# One swarm after the other, since each fills the device: together they would take as long, and four times the memory.
# Shows the one that learns: its round, and the rewards of its nodes. **To stop, interrupt this cell** (the square): the
# swarm ends cleanly, and the cells below show what there is. Run it again to resume; finished swarms are not run again.

# %%
#@title Run { display-mode: "form" }
from swarm_ray import simulate

for name, config in plan.items():
    run = simulate(config, root=root, experiment=name)
    print(run.message)
    if run.exit_code == 130:  # interrupted
        break

# %% [markdown]
# ## The table
#
# Seconds. The reward of own answers, summed over nodes and rounds, and its ratio to the first swarm's, beside the
# paper's. **Compare the ratios**: the paper's sums are over 8 nodes and 2000 rounds. Paper and notebook show one run of
# each, and other seeds give other figures. `pass@1` is the share of right answers to questions that were held out.

# %%
#@title Table { display-mode: "form" }
from IPython.display import display

from swarm_ray import compare_experiments
from swarm_ray.sweeps.splits import beside_paper, begun

problems = []  # of a log that Drive has not shown whole yet
display(beside_paper(compare_experiments(root, begun(root, plan), problems)).round(3), *problems)

# %% [markdown]
# ## The figures
#
# Seconds. As in the paper, left: mean reward per round, thin, with a moving average, thick, and a band from the lowest
# to the highest node; right: its sum. In the paper 4/4 earns most, 2/6 swings up and down, and 8/0 earns least.

# %%
#@title Figures { display-mode: "form" }
from pathlib import Path

from IPython.display import Image, display

from swarm_ray.observe.report import reward_figure
from swarm_ray.sweeps.splits import begun

problems = []  # of a log that Drive has not shown whole yet
figure = reward_figure(root, begun(root, plan), Path("reward.png").resolve(), problems=problems)
display(Image(filename=str(figure)), *problems)

# %% [markdown]
# ## Report (optional)
#
# Up to a minute: one HTML page with everything that the four folders hold, written beside this notebook and shown
# below.

# %%
#@title Report { display-mode: "form" }
from pathlib import Path

from IPython.display import display

from swarm_ray.colab import page
from swarm_ray.observe.report import write_report
from swarm_ray.sweeps.splits import begun

path = write_report(root, begun(root, plan), Path(f"{experiment}.html").resolve())
print(path)
display(page(path))

# %% [markdown]
# ## Stop
#
# Ends Ray, and uploads what Drive's cache still holds where the experiments lie on Drive. The folder keeps everything.

# %%
#@title Stop { display-mode: "form" }
import ray

from swarm_ray.colab import flush_drive

ray.shutdown()
print(flush_drive(mount_point) if use_drive else f"Ray has ended; the experiments lie in {root}")
