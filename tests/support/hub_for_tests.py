"""A stand-in of the Hugging Face Hub: what `huggingface_hub` asks when it makes, fills and tags a repository.

Real HTTP on loopback; large files go by git LFS's basic transfer. The Hub's own checks, and Xet, by which it
takes large files otherwise, are not in it.
"""

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from json_server_for_tests import JsonServer

TOKEN = "hf_" + "standin" * 5


@dataclass
class Commit:
    message: str
    files: dict[str, bytes]


@dataclass
class Repository:
    private: bool
    commits: list[Commit] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def checkout(self, folder: Path) -> Path:
        """The files as they stand after the last commit."""
        folder.mkdir()
        for commit in self.commits:
            for name, data in commit.files.items():
                (folder / name).write_bytes(data)
        return folder


class StandInHub(JsonServer):
    def __init__(self) -> None:
        super().__init__()
        self.address = self.url
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.refuses = 0
        """How many of the next requests are answered with 403."""
        self.speaks = threading.Event()
        self.speaks.set()

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Leave all requests without an answer meanwhile."""
        self.speaks.clear()
        try:
            yield
        finally:
            self.speaks.set()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        if method == "PUT":
            self.objects[path.rpartition("/")[2]] = body
            return 200, {}
        if method == "POST":
            self.speaks.wait()
        self.asked.append(f"{method} {path}")
        if method == "GET":
            return 404, {"error": "not found"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if headers["Authorization"] != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid username or password."}
        if self.refuses:
            self.refuses -= 1
            return 403, {"error": "You may not write here."}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._batch(json.loads(body))
        return self._in_repository(*path.split("/")[3:], body=body)

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        name = f"{asked['organization']}/{asked['name']}"
        there = name in self.repositories
        private = asked.get("visibility") == "private" or asked.get("private") is True
        self.repositories.setdefault(name, Repository(private))
        return 409 if there else 200, {"url": f"{self.address}/{name}"}

    def _batch(self, asked: dict[str, Any]) -> tuple[int, Any]:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.address}/lfs/{one['oid']}"}}}
            for one in asked["objects"]
        ]
        return 200, {"transfer": "basic", "objects": objects}

    def _in_repository(
        self, owner: str, name: str, what: str, revision: str, *, body: bytes
    ) -> tuple[int, Any]:
        repository = self.repositories[f"{owner}/{name}"]
        if what == "preupload":
            files = [{**one, "shouldIgnore": False} for one in json.loads(body)["files"]]
            for one in files:
                one["uploadMode"] = "lfs" if one["path"].endswith(".safetensors") else "regular"
            return 200, {"files": files}
        if what == "commit":
            repository.commits.append(self._commit([json.loads(line) for line in body.splitlines()]))
            number = f"{len(repository.commits):040x}"
            url = f"{self.address}/{owner}/{name}/commit/{number}"
            return 200, {"commitUrl": url, "commitOid": number, "success": True}
        if what == "tag":
            tag = json.loads(body)["tag"]
            there = tag in repository.tags
            repository.tags.setdefault(tag, revision)
            return 409 if there else 200, {}
        return 404, {"error": "not found"}

    def _commit(self, lines: list[dict[str, Any]]) -> Commit:
        files = {}
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                files[value["path"]] = self.objects[value["oid"]]
        return Commit(lines[0]["value"]["summary"], files)


@contextmanager
def stand_in_hub() -> Iterator[StandInHub]:
    """The stand-in, at the address that `huggingface_hub` asks."""
    from huggingface_hub import constants

    before = constants.ENDPOINT, constants.HF_HUB_DISABLE_XET
    with StandInHub() as server:
        constants.ENDPOINT, constants.HF_HUB_DISABLE_XET = server.address, True
        try:
            yield server
        finally:
            constants.ENDPOINT, constants.HF_HUB_DISABLE_XET = before
