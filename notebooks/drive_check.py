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
# # Check a folder before a swarm uses it
#
# A swarm's VMs meet in a folder of your Google Drive, and Drive promises little: how soon a file is seen by another VM,
# whether it is whole then, whether two VMs can make the same name. This notebook measures it, says in words whether a
# swarm can run over the folder, and gives the settings for it.
#
# **Alone** it takes a minute. **For two VMs** open this notebook in two tabs of your browser: each tab has a VM of its own.
# Run *Drive*, *Install* and *Folder* in both, then *Two VMs* in both, and keep both tabs open. **After a disconnect** run
# *Drive* and *Install* again, then any cell you like; no cell needs what an earlier check has found. A CPU runtime will
# do, and neither Ray nor torch is loaded.
#
# **Colab's rules.** Its FAQ forbids workers of a distributed computation on runtimes that no compute units pay for, and,
# for everybody, several accounts to get around a limit. So every VM of a swarm needs compute units, and all of them
# belong to one account.

# %% [markdown]
# ## Drive
#
# Asks for your permission once, and takes about ten seconds; prints where experiments will lie. `mount_point` may hold no
# space, `folder` may; take the folder that the swarm is to use. With `use_drive` off, `folder` is any folder of this
# machine.

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
# One to three minutes on a fresh VM, seconds where Swarm Ray is installed already. The package is in no index yet, so name
# what pip installs: a wheel or a folder (on your Drive, say), or a git address. The torch, transformers, fsspec, numpy,
# pandas and pyarrow that are here stay: pip is held to their versions, the table shows them before and after, and the cell
# fails if one has changed.

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
# ## Folder
#
# Says whether the folder is there. If it is not, tick `make_folder` **in one tab only**: where two VMs make a folder at the
# same time, Drive keeps two of one name. Then run this cell in the other tab until the folder is seen there too, which
# takes seconds to minutes.

# %%
#@title Folder { display-mode: "form" }
make_folder = False  #@param {type:"boolean"}

from pathlib import Path

if make_folder:
    Path(root).mkdir(parents=True, exist_ok=True)
print(root, "is there" if Path(root).is_dir() else "is not there")

# %% [markdown]
# ## This VM alone
#
# About a minute: is Drive mounted and writable, how much space is free, do files read as they were written, how fast is a
# small file written and a folder of 100 and of 1,000 files listed, does Drive say when a file is uploaded. It removes what
# it wrote, apart from a report in `check/`; on Drive the rest is in the trash until you empty it.
#
# Drive keeps uploading for some minutes afterwards, so wait a little before *Two VMs*.

# %%
#@title This VM alone { display-mode: "form" }
from drive_store import Store
from drive_store.doctor import examine, figures_text, findings_text

findings = examine(Store(root), say=print)
print()
print(findings_text(findings))
print(figures_text(findings))

# %% [markdown]
# ## Two VMs
#
# Run it in both tabs, with the same `pair`, within `wait_minutes`. The VMs find each other by files alone, and send
# `rounds` files there and back: on Drive count on one to four minutes a round, half an hour at most. Then one of them
# writes a file over, removes it, and both create the same names at once, and each tells what it saw; that takes as long as
# eight rounds.
#
# It prints a line for each round, and in the end in both tabs the same settings. `wait_minutes` is also how long each file
# of the other VM is waited for. To stop early, interrupt the cell: it removes its files, and the other VM notices.

# %%
#@title Two VMs { display-mode: "form" }
pair = "first"  #@param {type:"string"}
rounds = 20  #@param {type:"integer"}
wait_minutes = 15  #@param {type:"number"}

from drive_store import Store
from drive_store.doctor import examine, figures_text, findings_text

findings = examine(Store(root), pair_name=pair, rounds=rounds, wait_s=60 * wait_minutes, say=print)
print()
print(findings_text(findings))
print(figures_text(findings))

# %% [markdown]
# ## What it means
#
# * **FAIL**: no swarm can run over the folder until that is fixed. **WARN**: it can, and the line says what to expect.
# * **settings**: copy that line into `more` in *Settings* of `colab_coordinator.ipynb`. They are never below the preset's
#   own: an hour without an outage does not rule them out.
# * **visibility**: seconds from one VM to the other, as half of the way there and back, by one VM's own clock. With fewer
#   than 100 files `p99` is the longest that was seen, and the settings allow for twice that.
# * **exclusive names**: on Drive it is to be expected that both VMs can create one name. Nothing in a swarm depends on it.
# * **whole files**: files that were empty or cut at first. Readers wait until a file is whole; only files that stay changed
#   are a failure.
# * **upload**: whether Drive's marks `user.drive.uncommitted` and `user.drive.id` are there, and when they said that a file
#   was uploaded.
#
# | what you see | what to do |
# |---|---|
# | `does not exist, or is not a folder` | *Drive*, then *Folder* |
# | `Drive is not mounted` | Move that folder of the VM's own disk away, then *Drive* |
# | `nobody answered … no other machine's folder was seen` | Run *Two VMs* in the other tab; compare `folder`, `pair` and the account; a larger `wait_minutes` |
# | `left by machines that are gone or have met already` | Take another `pair` |
# | `more than two machines` | Each pair of tabs needs a `pair` of its own |
# | `both ends are on one and the same machine` | Both tabs have the same VM: connect one of them to a new runtime |
# | `the other machine has removed its files` | It was interrupted, or its VM has gone: run *Two VMs* in both again |
