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
# # Look at an experiment
#
# Reads the folder of a swarm, on Drive or anywhere, while it runs or afterwards: status, curves, tables, a report. It
# writes nothing there (Drive is mounted read-only), and needs no GPU, starts no Ray and loads no torch: a CPU runtime
# will do.
#
# Run the cells from top to bottom, or *Drive*, *Install*, *Settings* and then any one of them; each reads the folder
# again. On Drive what you see is up to minutes old.
#
# **Colab's rules.** Its FAQ forbids workers of a distributed computation on runtimes that no compute units pay for,
# and, for everybody, several accounts to get around a limit. So every VM of a swarm needs compute units, and all of
# them belong to one account.

# %% [markdown]
# ## Drive
#
# Asks for your permission once, and takes about ten seconds; prints where experiments lie. Read-only: nothing here can
# harm a run. If this VM has Drive mounted for writing already, that mount stays.

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
    drive.mount(mount_point, readonly=True)
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
# Runs at once, and lists the experiments in the folder. `experiment` is the one to look at; `others` (names with spaces
# between them) are shown beside it, the swarm without sharing, say.

# %%
#@title Settings { display-mode: "form" }
experiment = "first"  #@param {type:"string"}
others = ""  #@param {type:"string"}

from swarm_ray import list_experiments
from swarm_ray.observe.status_tables import list_table

shown = [experiment, *others.split()]
print(list_table(list_experiments(root)))

# %% [markdown]
# ## Status
#
# Seconds: state, round, and a line for each node with its steps, reward and rollouts used; below it what is wrong.

# %%
#@title Status { display-mode: "form" }
from swarm_ray import experiment_status
from swarm_ray.observe.status_tables import status_table

for name in shown:
    print(status_table(experiment_status(root, name)))

# %% [markdown]
# ## Watch
#
# One picture, redrawn every `every_s` seconds for `minutes`, or until the experiment has ended or you interrupt the
# cell: its progress and remaining time, and for each node its round, reward, share of external rollouts,
# speed, its last heartbeat, and problems in words.

# %%
#@title Watch { display-mode: "form" }
every_s = 30  #@param {type:"number"}
minutes = 60  #@param {type:"number"}

import time

from swarm_ray import watch

end = time.monotonic() + 60 * minutes
watch(root, experiment, every_s=every_s, until=lambda picture: time.monotonic() >= end)

# %% [markdown]
# ## Curves
#
# Seconds. Left: mean reward of the nodes' own answers per round, with a moving average and a band from the lowest to
# the highest node. Right: its sum over nodes and rounds.

# %%
#@title Curves { display-mode: "form" }
from pathlib import Path

from IPython.display import Image, display

from swarm_ray.observe.report import reward_figure

problems = []  # of a log that Drive has not shown whole yet
figure = reward_figure(root, shown, Path("reward.png").resolve(), problems=problems)
display(Image(filename=str(figure)), *problems)

# %% [markdown]
# ## Tables
#
# Seconds to a minute on Drive: what was logged, as pandas DataFrames. `rounds`, `nodes` and `specialties` stay in the
# kernel to work on; the last five rounds, all nodes, and the mean reward per specialty over the first and the last
# tenth of the rounds are shown.

# %%
#@title Tables { display-mode: "form" }
import pandas as pd
from IPython.display import display

from swarm_ray.experiments.read.frames import nodes_frame, rounds_frame, specialties_frame

problems = []  # of logs that Drive has not shown whole yet
rounds = rounds_frame(root, experiment, problems)
nodes = nodes_frame(root, experiment)
specialties = specialties_frame(root, experiment, problems)
if problems:
    print("\n".join(dict.fromkeys(problems)))
display(rounds.tail(), nodes)

tenth = max(1, len(rounds) // 10)
parts = {"first tenth": specialties["round"] < tenth, "last tenth": specialties["round"] >= len(rounds) - tenth}
means = {name: specialties[rows].groupby("specialty")["reward"].mean() for name, rows in parts.items()}
display(pd.DataFrame(means).round(3))

# %% [markdown]
# ## Compare
#
# Seconds: the figures of `experiment` and `others` side by side. `cumulative` is the reward of own answers, summed over
# nodes and rounds; `vs` compares it with the swarm without sharing, or with the first. One run is one draw.

# %%
#@title Compare { display-mode: "form" }
from swarm_ray import compare_experiments
from swarm_ray.observe.status_tables import comparison_table

problems = []  # of a log that Drive has not shown whole yet
print(comparison_table(compare_experiments(root, shown, problems)), *problems, sep="\n")

# %% [markdown]
# ## Report
#
# Up to a minute: one HTML page with everything, from the verdict in words to answers one can read. It is written to
# this VM's own disk as `<experiment>.html` (the folder symbol at the left; download it from there) and shown below.

# %%
#@title Report { display-mode: "form" }
from pathlib import Path

from IPython.display import display

from swarm_ray.colab import page
from swarm_ray.observe.report import write_report

path = write_report(root, shown, Path(f"{experiment}.html").resolve())
print(path)
display(page(path))
