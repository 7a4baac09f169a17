"""Runs the blocks of a document as a reader would, in an empty folder, with sizes that a test can wait for."""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from swarm_ray.cli import main

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(?ms)^```(\w*)\n(.*?)^```")
FILE_NAME = re.compile(r"# ([\w.-]+\.\w+)")
SIZES = {"--rounds": "2", "--nodes": "2"}
SMALL = ("evaluation.questions=1", "pace.poll_max_s=0.1")
RUN = ("sh", "python", "yaml")
SHOWN = ("", "text", "json")
"""Languages of blocks that show what is printed, or how files lie."""
HUB_MODEL = "Qwen/Qwen2.5-0.5B-Instruct"
UNTIL_STOPPED = "2000"
WITHIN_S = 150.0
TALKERS = ("coordinate", "work")
"""Commands that keep running while the reader gives the next ones."""


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that the first line names, as a comment; such a block is saved and not run."""
        named = FILE_NAME.fullmatch(self.text.partition("\n")[0].strip())
        return named[1] if named else None

    @property
    def commands(self) -> list[str]:
        """The lines, those that end in a backslash joined to the next."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]


def blocks_of(path: Path) -> list[Block]:
    """All blocks, in order."""
    return [Block(language, text) for language, text in BLOCK.findall(path.read_text())]


@dataclass
class Reader:
    """Somebody who does what a document says.

    Args:
        folder: where; empty at first.
        places: words of the documents, and what stands for them here (a model of a hub, a mount).
        stopped: whether the document stops what it started, so that it must not end before.
        modules: whether it writes modules of Python, which must not stay in this process; else what ends by itself
            runs in it, which spares it most of its time.
    """

    folder: Path
    places: Mapping[str, str]
    stopped: bool
    modules: bool
    _running: list[tuple[str, subprocess.Popen[str]]] = field(default_factory=list)

    def follow(self, block: Block) -> None:
        """Do what one block says."""
        text = self._placed(block.text)
        if block.file:
            (self.folder / block.file).write_text(text)
        elif block.language == "python":
            self._python(re.sub(r"\b(rounds|nodes)=\d+", r"\1=2", text).replace(", baseline=True", ""))
        elif block.language == "sh":
            for line in block.commands:
                self.give(self._placed(line))

    def give(self, line: str) -> None:
        """Give a command, and wait for it unless it keeps running."""
        words = shlex.split(line)
        if words[0] == "make":
            self._run(self._made(words), cwd=ROOT)
        elif words[0] == "pip":
            nothing = ["--dry-run", "--no-deps", "--no-build-isolation", "--quiet"]
            packages = [str(ROOT) if word == "." else word for word in words[2:]]
            self._run([sys.executable, "-m", "pip", "install", *nothing, *packages])
        else:
            assert words[0] == "swarm-ray", f"nobody knows how to run: {line}"
            self._swarm_ray(words[1:])

    def end(self) -> None:
        """Wait for running commands."""
        for line, process in self._running:
            said, _ = process.communicate(timeout=WITHIN_S)
            allowed = (0, 130) if self.stopped else (0,)
            assert process.returncode in allowed, f"{line}: {process.returncode}\n{said}"
        self._running.clear()

    def give_up(self) -> None:
        """End running commands; none is left after `end`."""
        for _, process in self._running:
            process.terminate()
            process.communicate(timeout=WITHIN_S)

    def _python(self, text: str) -> None:
        if self.modules:
            self._run([sys.executable, "-c", text])
        else:
            exec(compile(text, "a block", "exec"), {"__name__": "__main__"})

    def _swarm_ray(self, words: list[str]) -> None:
        smaller = _smaller(words, self.places, stopped=self.stopped)
        command = [sys.executable, "-m", "swarm_ray.cli", *smaller]
        random = (
            "paper" in words or "--model" in words
        )  # a stand-in for a model of the hub: it may learn nothing
        allowed = (0, 3) if random else (0,)
        if words[0] in TALKERS:
            process = subprocess.Popen(
                command, cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            self._running.append((" ".join(words), process))
        elif self.modules:
            self._run(command, allowed=allowed)
        else:
            self._wait_for_talkers(smaller)
            assert main(smaller) in allowed, shlex.join(smaller)

    def _wait_for_talkers(self, words: list[str]) -> None:
        """Let those who talk find each other, as a reader does who looks at their terminals."""
        if "--root" not in words:
            return  # it looks at nothing that they do
        root = self.folder / words[words.index("--root") + 1]
        deadline = time.monotonic() + WITHIN_S
        while self._running and not list(root.glob("experiments/*/rewards/*/*.json")):
            assert time.monotonic() < deadline, "no round has closed"
            for line, process in self._running:
                assert not process.poll(), f"{line}: {process.communicate()[0]}"
            time.sleep(0.1)

    def _made(self, words: list[str]) -> list[str]:
        given = next((word[5:] for word in words if word.startswith("ARGS=")), "")
        if words[1] != "simulate":
            return ["make", *words[1:]]
        small = _smaller(["simulate", *shlex.split(given)], self.places, stopped=False)[1:]
        return ["make", "simulate", f"ARGS={shlex.join([*small, '--root', str(self.folder / 'runs')])}"]

    def _run(self, command: list[str], cwd: Path | None = None, allowed: Sequence[int] = (0,)) -> None:
        done = subprocess.run(
            command,
            check=False,
            cwd=cwd or self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=WITHIN_S,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode in allowed, f"{shlex.join(command)}: {done.returncode}\n{done.stdout}"

    def _placed(self, text: str) -> str:
        for word, place in self.places.items():
            text = text.replace(word, place)
        return text


def do_all_of(
    page: Path, ray_session: str, hub_model: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Follow a page from its first block to its last, in `folder`, with `hub_model` in place of the hub's."""
    monkeypatch.setenv("RAY_ADDRESS", ray_session)
    monkeypatch.chdir(folder)
    mount = folder / "mount"
    mount.mkdir()
    found = blocks_of(page)
    stopped = any("swarm-ray stop" in block.text for block in found)
    modules = any(block.file and block.file.endswith(".py") for block in found)
    reader = Reader(
        folder, {"/content/drive/MyDrive/swarm": str(mount), HUB_MODEL: hub_model}, stopped, modules
    )
    try:
        for block in found:
            reader.follow(block)
        reader.end()
    finally:
        reader.give_up()


def _smaller(words: list[str], places: Mapping[str, str], *, stopped: bool) -> list[str]:
    """The same command with fewer nodes and rounds."""
    if words[0] == "work":
        return [*words, "slow_down_s=0.3"]  # it runs beside what is read next, and must not end before
    if words[0] == "genrl":
        return [*words, "--rounds", "2"]
    if words[0] not in {"simulate", "coordinate"}:
        return words
    sizes = SIZES | {"--rounds": UNTIL_STOPPED if stopped and words[0] == "coordinate" else "2"}
    if words[0] == "coordinate":
        sizes.pop("--nodes")
    small = [word for word in words if not re.match(r"(rounds|nodes)=", word)]
    for flag, value in sizes.items():
        if flag in small:
            small[small.index(flag) + 1] = value
        else:
            small += [flag, value]
    if "colab" in small:
        small += [f"policy.model={places[HUB_MODEL]}", "policy.max_new_tokens=4"]
        small += ["pace.min_s=0", "pace.max_s=5", "pace.poll_min_s=0.05"]
    elif "paper" in small:
        small.append("policy.max_new_tokens=4")
    elif not any(word.startswith(("policy.start", "--model")) for word in small):
        small.append(
            "policy.start=base"
        )  # the default one is rarely right, and two rounds would learn nothing
    return [*small, *SMALL]
