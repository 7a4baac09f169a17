"""A stand-in of the Hugging Face Hub: what `huggingface_hub` asks when it makes, fills and tags a repository.

Real HTTP on loopback; large files go by git LFS's basic transfer. The Hub's own checks, and Xet, by which it
takes large files otherwise, are not in it.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

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


class StandInHub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.address = f"http://127.0.0.1:{self.server_port}"
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


class _Answers(BaseHTTPRequestHandler):
    server: StandInHub
    protocol_version = "HTTP/1.1"

    def log_request(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self._body()
        self.server.speaks.wait()
        self.server.asked.append(f"POST {self.path}")
        if self.path == "/api/validate-yaml":
            self._say(200, {"errors": [], "warnings": []})
        elif self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._say(401, {"error": "Invalid username or password."})
        elif self.server.refuses:
            self.server.refuses -= 1
            self._say(403, {"error": "You may not write here."})
        elif self.path == "/api/repos/create":
            self._create(json.loads(body))
        elif self.path.endswith(".git/info/lfs/objects/batch"):
            self._batch(json.loads(body))
        else:
            self._in_repository(*self.path.split("/")[3:], body=body)

    def do_GET(self) -> None:
        self.server.asked.append(f"GET {self.path}")
        self._say(404, {"error": "not found"})

    def do_PUT(self) -> None:
        self.server.objects[self.path.rpartition("/")[2]] = self._body()
        self._say(200, {})

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        there = name in self.server.repositories
        private = asked.get("visibility") == "private" or asked.get("private") is True
        self.server.repositories.setdefault(name, Repository(private))
        self._say(409 if there else 200, {"url": f"{self.server.address}/{name}"})

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.server.address}/lfs/{one['oid']}"}}}
            for one in asked["objects"]
        ]
        self._say(200, {"transfer": "basic", "objects": objects})

    def _in_repository(self, owner: str, name: str, what: str, revision: str, *, body: bytes) -> None:
        repository = self.server.repositories[f"{owner}/{name}"]
        if what == "preupload":
            files = [{**one, "shouldIgnore": False} for one in json.loads(body)["files"]]
            for one in files:
                one["uploadMode"] = "lfs" if one["path"].endswith(".safetensors") else "regular"
            self._say(200, {"files": files})
        elif what == "commit":
            repository.commits.append(self._commit([json.loads(line) for line in body.splitlines()]))
            number = f"{len(repository.commits):040x}"
            url = f"{self.server.address}/{owner}/{name}/commit/{number}"
            self._say(200, {"commitUrl": url, "commitOid": number, "success": True})
        elif what == "tag":
            tag = json.loads(body)["tag"]
            self._say(409 if tag in repository.tags else 200, {})
            repository.tags.setdefault(tag, revision)
        else:
            self._say(404, {"error": "not found"})

    def _commit(self, lines: list[dict[str, Any]]) -> Commit:
        files = {}
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                files[value["path"]] = self.server.objects[value["oid"]]
        return Commit(lines[0]["value"]["summary"], files)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def _say(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def stand_in_hub() -> Iterator[StandInHub]:
    """The stand-in, at the address that `huggingface_hub` asks."""
    from huggingface_hub import constants

    server = StandInHub()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    before = constants.ENDPOINT, constants.HF_HUB_DISABLE_XET
    constants.ENDPOINT, constants.HF_HUB_DISABLE_XET = server.address, True
    try:
        yield server
    finally:
        constants.ENDPOINT, constants.HF_HUB_DISABLE_XET = before
        server.shutdown()
        thread.join()
        server.server_close()
