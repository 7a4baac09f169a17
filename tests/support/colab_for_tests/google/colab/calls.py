"""What was asked of this package, for tests to read; Colab has no such module."""

import json
import os
from pathlib import Path


def vm_folder():
    return Path(os.environ["COLAB_FOR_TESTS_VM"])


def note(call, **arguments):
    with (vm_folder() / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps({"call": call, "pid": os.getpid(), **arguments}) + "\n")
