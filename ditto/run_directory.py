"""Run directories: one per resolved configuration, named by its hash; the only truth about a run.

    runs/<id>/config.yaml       the resolved configuration
              status.json       running, done, failed or interrupted; written last, so "done" means complete
              metrics.json      clip id -> metrics, seconds, steps, stopped, prompt, seed (or "failed": reason)
              history.json      clip id -> loss and seconds of every optimisation step
              environment.json  commit, versions, device, weights
              audio/ pictures/  <clip>.flac, <clip>.text_only.flac, <clip>.png
              x_T.safetensors   x_T and x_0, stacked in the order of metrics.json
              clips/            finished clips of a run that is not: what a resumed run keeps

Every file is written beside its name and renamed, so a kill at any moment leaves nothing that looks whole and is not.
Reading and listing them is in `ditto.runs`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ditto import locks

# Top-level options that change where or how a run is made but not what it makes; a run's id ignores them.
NOT_IDENTITY = (
    "runs_dir",
    "device",
    "batch_size",
    "progress",
    "pictures",
    "logger",
    "overwrite",
    "retry",
    "memory_gib",
    "sweep",
    "run_id",
    "objective",
)
_LASTING = ("started", "names", "clips", "metric")  # what later states of status.json keep
# No room, or no place to write: the user can mend it.
_DISK = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.ENOENT,
    errno.EEXIST,
)


def run_id(identity: Mapping[str, Any]) -> str:
    """First 16 hex digits of the SHA-256 of the identity's canonical JSON."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` so that `path` is either the old file or the whole new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def write_json(path: Path, value: Any) -> None:
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n").encode())


def read_json(path: Path) -> Any:
    """The file's value, or None when it is missing or not JSON."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a forbidden directory into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK:
            raise
        from ditto.types import UserError

        why = os.strerror(error.errno or 0).lower()
        raise UserError(
            f"cannot write {path}: {why}; free some space or choose another place with runs_dir=DIR"
        ) from error


class RunDirectory:
    """The files of one run. Only the holder of `lock()` writes."""

    def __init__(self, runs_dir: str | Path, identity: Mapping[str, Any]) -> None:
        self.id = run_id(identity)
        self.path = Path(runs_dir) / self.id
        self._parent_is_new = not self.path.parent.exists()

    @property
    def status(self) -> dict[str, Any]:
        """What status.json says; {} for a run that never started."""
        return read_json(self.path / "status.json") or {}

    @property
    def done(self) -> bool:
        return self.status.get("status") == "done"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only writer; raises `locks.Busy` when another process is."""
        with contextlib.ExitStack() as stack:
            with disk_errors(self.path):
                stack.enter_context(locks.held(self.path))
            yield

    def begin(self, config_yaml: str, names: Mapping[str, str], clips: int, metric: str = "") -> None:
        """Mark the run as running; finished clips of an earlier attempt stay. `metric` is the one that judges it."""
        write_bytes(self.path / "config.yaml", config_yaml.encode())
        self._set("running", started=time.time(), names=dict(names), clips=clips, metric=metric)

    def has_clip(self, clip_id: str) -> bool:
        return (self.path / "clips" / f"{clip_id}.json").exists()

    def save_clip(self, clip_id: str, files: Mapping[str, bytes], record: Mapping[str, Any]) -> None:
        """Keep one finished clip: its files by relative name, then the record that makes it count."""
        for name, data in files.items():
            write_bytes(self.path / name, data)
        write_json(self.path / "clips" / f"{clip_id}.json", record)

    def clip(self, clip_id: str) -> dict[str, Any]:
        return json.loads((self.path / "clips" / f"{clip_id}.json").read_text())

    def finish(self, files: Mapping[str, bytes], records: Mapping[str, dict[str, Any]]) -> None:
        """Assemble metrics.json and history.json from the clips' records; status.json last."""
        for name, data in files.items():
            write_bytes(self.path / name, data)
        write_json(self.path / "history.json", {clip: record["history"] for clip, record in records.items()})
        write_json(self.path / "metrics.json", {clip: record["metrics"] for clip, record in records.items()})
        failed = {c: r["metrics"]["failed"] for c, r in records.items() if "failed" in r["metrics"]}
        everything = len(failed) == len(records)
        reason = f"every clip failed: {next(iter(failed.values()))}" if everything else ""
        self._set("failed" if everything else "done", reason=reason, failed_clips=failed, finished=time.time())
        shutil.rmtree(self.path / "clips", ignore_errors=True)

    def stop(self, status: str, reason: str, traceback: str = "") -> None:
        """Record why the run did not finish ("failed" or "interrupted")."""
        self._set(status, reason=reason, traceback=traceback, finished=time.time())

    def clear(self) -> None:
        """Forget everything but the lock."""
        for path in self.path.iterdir() if self.path.exists() else ():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != locks.NAME:
                path.unlink()

    def discard(self) -> None:
        """Remove the directory, and the runs directory if it was made for it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._parent_is_new:
            with contextlib.suppress(OSError):
                self.path.parent.rmdir()

    def _set(self, status: str, **fields: Any) -> None:
        keep = {key: value for key, value in self.status.items() if key in _LASTING}
        write_json(self.path / "status.json", {"status": status, "reason": "", **keep, **fields})
