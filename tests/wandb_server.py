"""As much of a W&B server as a run needs: it keeps what it is sent, and answers in the shape that wandb 0.31 asks."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """history: run id -> line number -> row; asked: the names of the queries; uploads: names of files."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.history: dict[str, dict[int, dict[str, Any]]] = {}
        self.summary: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.uploads: list[str] = []

    def handle_error(self, *_: Any) -> None:
        """Nothing: a service that is killed breaks its connections."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stream(self, run_id: str, files: dict[str, Any]) -> None:
        """Lines of a run's history, each at its offset, and its summary."""
        lines = files.get("wandb-history.jsonl", {"offset": 0, "content": []})
        rows = self.history.setdefault(run_id, {})
        for number, line in enumerate(lines["content"], lines["offset"]):
            rows[number] = json.loads(line)
        for line in files.get("wandb-summary.json", {"content": []})["content"]:
            self.summary[run_id] = json.loads(line)

    def answer(self, query: str, values: dict[str, Any]) -> dict[str, Any]:
        for name, reply in _REPLIES.items():
            if name in query:
                self.asked.append(name)
                return reply(self, values)
        return {}

    def known(self, run_id: str) -> dict[str, Any] | None:
        """The run as it is, for one that wants to go on with it."""
        return self.bucket(run_id) if run_id in self.history else None

    def bucket(self, run_id: str) -> dict[str, Any]:
        rows = self.history.get(run_id, {})
        tail = [json.dumps(rows[max(rows)])] if rows else []
        project = {"id": "p", "name": "ditto", "entity": {"id": "e", "name": "me"}}
        return {
            "id": "UnVu",
            "name": run_id,
            "displayName": run_id,
            "project": project,
            "summaryMetrics": json.dumps(self.summary.get(run_id, {})),
            "historyLineCount": len(rows),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps(tail),
            "eventsTail": "[]",
            "config": "{}",
            "wandbConfig": json.dumps({"t": 1}),
            "tags": [],
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def _reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        data = json.dumps(self._answer(body)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = _reply

    def _answer(self, body: bytes) -> dict[str, Any]:
        if self.path == "/graphql":
            asked = json.loads(body)
            return {"data": self.server.answer(asked["query"], asked.get("variables") or {})}
        if self.path.endswith("/file_stream"):
            self.server.stream(self.path.split("/")[-2], json.loads(body).get("files") or {})
        elif self.path.startswith("/upload/"):
            self.server.uploads.append(self.path.removeprefix("/upload/"))
        return {}


def _files(server: Server, values: dict[str, Any]) -> dict[str, Any]:
    files = [{"name": name, "uploadUrl": f"{server.url}/upload/{name}"} for name in values["files"]]
    return {"createRunFiles": {"runID": "UnVu", "uploadHeaders": [], "files": files}}


_ARTIFACT = {"id": "a", "state": "COMMITTED", "artifactSequence": {"latestArtifact": {"id": "a"}}}
_REPLIES: dict[str, Any] = {
    "UpsertBucket": lambda server, v: {"upsertBucket": {"bucket": server.bucket(v["name"]), "inserted": True}},
    "RunResumeStatus": lambda server, v: {"model": {**server.bucket("")["project"], "bucket": server.known(v["name"])}},
    "CreateArtifact": lambda *_: {"createArtifact": {"artifact": _ARTIFACT}},
    "ArtifactType": lambda *_: {"project": {"artifact": None}},
    "CreateRunFiles": _files,
    "ServerFeatures": lambda *_: {"serverInfo": {"features": []}},
    "query Viewer": lambda *_: {"viewer": {"id": "1", "entity": "me", "username": "me", "email": "", "flags": "{}"}},
}


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A server on a port of its own while the block lasts."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
