"""Run directories: one per resolved configuration, named by its hash; the only truth about a run.

    runs/<id>/config.yaml       the resolved configuration
              status.json       running, done, failed, interrupted or undefined; written last, so "done" means complete:
                                it lists every file with its size and digest (`ditto.run_files`)
              metrics.json      clip id -> metrics, seconds, steps, stopped, prompt, seed (or "failed": reason)
              history.json      clip id -> loss, metric and seconds of every optimisation step
              environment.json  commit, versions, device, weights
              audio/ pictures/  <clip>.flac, <clip>.text_only.flac, <clip>.png
              x_T.safetensors   x_T and x_0, stacked in the order of metrics.json
              clips/            finished clips of a run that is not: what a resumed run keeps
              state/            how far an unfinished batch has come (`ditto.kept`)

Every file is written beside its name and renamed, so a kill at any moment leaves nothing that looks whole and is not.
What a disk or a person does to the files later is noticed: a clip or a run counts only with all its files. After a
power cut that is enough for seconds of work; a run that took longer is synced to the disk before its clips/ goes.
Times of day are for people; durations are measured with the monotonic clock. Reading and listing is in `ditto.runs`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ditto import locks
from ditto.atomic import disk_errors, json_bytes, read_json, sync, write_bytes, write_json
from ditto.run_files import damage, fingerprint, intact, read_status

__all__ = ["NOT_IDENTITY", "RunDirectory", "read_json", "run_id", "write_bytes", "write_json"]
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
    "save_every_s",
)
# Seconds of work that are worth the 10 to 70 ms which it takes to have a run's files on the disk for certain.
SYNC_S = 10.0
_FOLDERS = ("audio", "pictures", "clips", "state")
_LASTING = ("started", "names", "clips", "metric")  # what later states of status.json keep


def run_id(identity: Mapping[str, Any]) -> str:
    """First 16 hex digits of the SHA-256 of the identity's canonical JSON."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class RunDirectory:
    """The files of one run. Only the holder of `lock()` writes."""

    def __init__(self, runs_dir: str | Path, identity: Mapping[str, Any]) -> None:
        self.id = run_id(identity)
        self.path = Path(runs_dir) / self.id
        self._parent_is_new = not self.path.parent.exists()
        self._began = time.monotonic()

    @property
    def status(self) -> dict[str, Any]:
        """What status.json says; {} for a run that never started, or whose status is garbage."""
        return read_status(self.path)

    @property
    def done(self) -> bool:
        """Does it say that it is done? Whether that is still so is `whole`."""
        return self.status.get("status") == "done"

    @property
    def whole(self) -> bool:
        """Done, and everything is there: a run to skip. A few stats and two small files to parse."""
        status = self.status
        return status.get("status") == "done" and not damage(self.path, status)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only writer; raises `locks.Busy` when another process is. Clears what killed writers left."""
        with contextlib.ExitStack() as stack:
            with disk_errors(self.path):
                stack.enter_context(locks.held(self.path))
                self._tidy()
            yield

    def begin(self, config_yaml: str, names: Mapping[str, str], clips: int, metric: str = "") -> None:
        """Mark the run as running; finished clips of an earlier attempt stay. `metric` is the one that judges it."""
        self._began = time.monotonic()
        write_bytes(self.path / "config.yaml", config_yaml.encode())
        self._set("running", started=time.time(), names=dict(names), clips=clips, metric=metric)

    def has_clip(self, clip_id: str) -> bool:
        """Is this clip finished, and are all its files what was written?"""
        record = read_json(self._record(clip_id))
        if not isinstance(record, dict) or not {"metrics", "history", "files"} <= set(record):
            return False
        return all(intact(self.path / name, expected) for name, expected in record["files"].items())

    def save_clip(self, clip_id: str, files: Mapping[str, bytes], record: Mapping[str, Any]) -> None:
        """Keep one finished clip: its files by relative name, then the record that makes it count."""
        for name, data in files.items():
            write_bytes(self.path / name, data)
        prints = {name: fingerprint(data) for name, data in files.items()}
        write_json(self._record(clip_id), {**record, "files": prints})

    def clip(self, clip_id: str) -> dict[str, Any]:
        """The record of a finished clip: "metrics", "history", and "files" by name."""
        return json.loads(self._record(clip_id).read_bytes())

    def finish(self, files: Mapping[str, bytes], records: Mapping[str, dict[str, Any]]) -> None:
        """Assemble metrics.json and history.json from the clips' records; status.json last."""
        gathered = {
            **files,
            "history.json": json_bytes({clip: record["history"] for clip, record in records.items()}),
            "metrics.json": json_bytes({clip: record["metrics"] for clip, record in records.items()}),
        }
        for name, data in gathered.items():
            write_bytes(self.path / name, data)
        failed = {c: r["metrics"]["failed"] for c, r in records.items() if "failed" in r["metrics"]}
        everything = len(failed) == len(records)
        reason = f"every clip failed: {next(iter(failed.values()))}" if everything else ""
        prints = self._prints(gathered, records)
        costly = sum(record["metrics"].get("seconds", 0.0) for record in records.values()) >= SYNC_S
        if costly:
            sync(*(self.path / name for name in prints))
        self._end("failed" if everything else "done", reason=reason, failed_clips=failed, files=prints)
        if costly:
            sync(self.path / "status.json")
        shutil.rmtree(self.path / "clips", ignore_errors=True)

    def stop(self, status: str, reason: str, traceback: str = "") -> None:
        """Record why the run did not finish ("failed", "interrupted" or "undefined")."""
        self._end(status, reason=reason, traceback=traceback)

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

    def _record(self, clip_id: str) -> Path:
        return self.path / "clips" / f"{clip_id}.json"

    def _prints(self, gathered: Mapping[str, bytes], records: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        """The fingerprints of all files of the finished run."""
        before = [self.path / name for name in ("config.yaml", "environment.json")]
        prints = {path.name: fingerprint(path.read_bytes()) for path in before if path.is_file()}
        prints |= {name: fingerprint(data) for name, data in gathered.items()}
        for record in records.values():
            prints |= {name: kept for name, kept in record.get("files", {}).items() if not name.startswith("clips/")}
        return prints

    def _tidy(self) -> None:
        """Remove temporary files of killed writers, and files where folders belong."""
        for folder in (self.path, *(self.path / name for name in _FOLDERS)):
            if folder.is_dir():
                for left in folder.glob(".*.tmp"):
                    left.unlink(missing_ok=True)
            else:
                folder.unlink(missing_ok=True)

    def _end(self, status: str, **fields: Any) -> None:
        started, now = self.status.get("started", 0.0), time.time()
        times = {"finished": max(now, started), "duration_s": round(time.monotonic() - self._began, 3)}
        self._set(status, **fields, **times)

    def _set(self, status: str, **fields: Any) -> None:
        keep = {key: value for key, value in self.status.items() if key in _LASTING}
        write_json(self.path / "status.json", {"status": status, "reason": "", **keep, **fields})
