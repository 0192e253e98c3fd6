"""A hub on this machine that has one model: enough of its protocol to list a repository and to load files from it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c" * 40


@contextmanager
def serve(model: str, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub whose `model` has the files of `folder`, and the paths that were loaded from it so far."""
    loaded: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._file(body=False)

        def do_GET(self) -> None:
            if self.path.startswith(f"/api/models/{model}/tree/"):
                files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
                entries = [{"path": str(path.relative_to(folder)), "size": path.stat().st_size} for path in files]
                self._json(
                    [{"type": "file", "oid": hashlib.sha1(e["path"].encode()).hexdigest(), **e} for e in entries]
                )
            elif self.path.startswith(f"/api/models/{model}/revision/"):
                self._json({"id": model, "sha": COMMIT, "siblings": []})
            else:
                self._file(body=True)

        def _json(self, value: object) -> None:
            self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _file(self, body: bool) -> None:
            name = self.path.removeprefix(f"/{model}/resolve/{COMMIT}/")
            path = folder / name
            if name == self.path or not path.is_file():
                self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
                return
            if body:
                loaded.append(name)
            data = path.read_bytes()
            about = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
            self._send(200, data, about, body)

        def _send(self, status: int, data: bytes, headers: dict[str, str], body: bool = True) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing on the screen."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", loaded
    finally:
        server.shutdown()
        server.server_close()
