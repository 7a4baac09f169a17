"""A stand-in for a Weights & Biases server on loopback: as much of its HTTP face as wandb 0.31 asks for.

It keeps the history of each run by offset, as the real one does: lines that are sent again take the place of those
that were there, so that a client which does not continue a run would be seen to overwrite it.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from json_server_for_tests import JsonServer


@dataclass
class Sent:
    """What a client sent of one run."""

    group: str = ""
    name: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Rows by their line."""
    ended: int = 0
    """How often a client said that the run is complete."""


class WandbServer(JsonServer):
    """Answers on a port of its own until the block ends."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, Sent] = {}
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        if method == "GET":
            return 200, {}
        with self._lock:
            if path == "/graphql":
                query = json.loads(body)
                return 200, {"data": self._graphql(query.get("operationName"), query.get("variables") or {})}
            if path.endswith("/file_stream"):
                self._streamed(self.runs.setdefault(path.split("/")[-2], Sent()), json.loads(body))
                return 200, {"limits": {}}
            return 200, {}

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
        last, tail = max(run.history), json.dumps([json.dumps(run.history[max(run.history)])])
        bucket = {"id": "r", "name": run_id, "displayName": run.name, "summaryMetrics": "{}", "notes": None}
        bucket |= {"config": json.dumps(run.config), "wandbConfig": '{"t": 1}', "tags": []}
        bucket |= {"logLineCount": 0, "eventsLineCount": 0, "historyLineCount": last + 1}
        bucket |= {"historyTail": tail, "eventsTail": "[]"}
        return {"id": "p", "name": "swarm-ray", "entity": {"id": "e", "name": "me"}, "bucket": bucket}

    @staticmethod
    def _streamed(run: Sent, sent: dict[str, Any]) -> None:
        part = (sent.get("files") or {}).get("wandb-history.jsonl")
        if part:
            for number, line in enumerate(part["content"], start=part["offset"]):
                run.history[number] = json.loads(line)
        run.ended += bool(sent.get("complete"))
