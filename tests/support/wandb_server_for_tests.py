"""A stand-in for a Weights & Biases server on loopback: as much of its HTTP face as wandb 0.31 asks for.

It keeps the history of each run by offset, as the real one does: lines that are sent again take the place of those
that were there, so that a client which does not continue a run would be seen to overwrite it.
"""

from __future__ import annotations

import gzip
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass
class Sent:
    """What a client sent of one run."""

    group: str = ""
    name: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Rows by their line."""
    offsets: list[int] = field(default_factory=list)
    """At which line each part began."""
    ended: int = 0
    """How often a client said that the run is complete."""


class WandbServer:
    """Answers on a port of its own until the block ends."""

    def __init__(self) -> None:
        self.runs: dict[str, Sent] = {}
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.keys: set[str] = set()
        answering = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._reply({})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                answering.keys.add(self.headers.get("authorization") or "")
                answering.bodies.append(body)
                self._reply(answering.answer(self.path, body))

            def do_PUT(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                """Quiet."""

            def _reply(self, value: object) -> None:
                data = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that ends resets its connection."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, body: bytes) -> object:
        with self._lock:
            if path == "/graphql":
                query = json.loads(body)
                name, given = query.get("operationName"), query.get("variables") or {}
                self.asked.append(name)
                return {"data": self._graphql(name, given)}
            if path.endswith("/file_stream"):
                self._streamed(self.runs.setdefault(path.split("/")[-2], Sent()), json.loads(body))
                return {"limits": {}}
            return {}

    def _graphql(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        if name == "RunResumeStatus":
            return {"model": self._resumed(given["name"])}
        if name == "UpsertBucket":
            run = self.runs.setdefault(given["name"], Sent())
            run.group, run.name = given.get("groupName") or run.group, given.get("displayName") or run.name
            run.config |= json.loads(given.get("config") or "{}")
            project = {"id": "p", "name": given["project"], "entity": {"id": "e", "name": "me"}}
            bucket = {"id": "r", "name": given["name"], "displayName": run.name, "project": project}
            return {"upsertBucket": {"bucket": bucket, "inserted": not run.history}}
        if name == "CreateRunFiles":
            files = [{"name": file, "uploadUrl": f"{self.url}/uploaded"} for file in given["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        return {}

    def _resumed(self, run_id: str) -> dict[str, Any] | None:
        """What a client continues; None for a run that was never seen."""
        run = self.runs.get(run_id)
        if run is None or not run.history:
            return None
        tail = json.dumps([json.dumps(run.history[max(run.history)])])
        bucket = {
            "id": "r",
            "name": run_id,
            "displayName": run.name,
            "summaryMetrics": "{}",
            "config": json.dumps(run.config),
            "logLineCount": 0,
            "eventsLineCount": 0,
            "historyLineCount": max(run.history) + 1,
            "historyTail": tail,
            "eventsTail": "[]",
            "notes": None,
            "tags": [],
            "wandbConfig": '{"t": 1}',
        }
        return {"id": "p", "name": "swarm-ray", "entity": {"id": "e", "name": "me"}, "bucket": bucket}

    @staticmethod
    def _streamed(run: Sent, sent: dict[str, Any]) -> None:
        part = (sent.get("files") or {}).get("wandb-history.jsonl")
        if part:
            run.offsets.append(part["offset"])
            for number, line in enumerate(part["content"], start=part["offset"]):
                run.history[number] = json.loads(line)
        run.ended += bool(sent.get("complete"))
