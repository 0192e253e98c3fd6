"""W&B's offline files read back: what a dashboard would be given. wandb 0.31 writes them and has no reader in Python.

A file is a header of 7 bytes, then LevelDB's log format: blocks of 32 KiB, of records with checksum (4 bytes), length
(2, little-endian) and kind (1; 1 whole, 2 first, 3 middle, 4 last part), each record a protocol buffer.
"""

from __future__ import annotations

import json
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK, HEADER = 32768, 7


@dataclass
class Read:
    """One W&B run as its files have it."""

    run: Any = None  # RunRecord
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)  # metric -> its x axis
    files: list[str] = field(default_factory=list)
    stored: dict[str, Path] = field(default_factory=dict)  # files of tables, by name in their artifact
    exit_code: int | None = None

    def curve(self, x: str, y: str) -> list[tuple[float, float]]:
        return [(row[x], row[y]) for row in self.rows if x in row and y in row]


def read(folder: Path, seconds: float = 20.0) -> Read:
    """The run in a folder `offline-run-...`, once its end is on disk: W&B's service writes on after `finish`."""
    until = time.monotonic() + seconds
    while (result := read_now(folder)).exit_code is None and time.monotonic() < until:
        time.sleep(0.05)
    return result


def read_now(folder: Path) -> Read:
    """As much of it as is there."""
    (file,) = folder.glob("*.wandb")
    result = Read()
    for data in _records(file.read_bytes()):
        record = Record.FromString(data)
        _READERS.get(record.WhichOneof("record_type"), lambda *_: None)(result, record)
    return result


def offline_folders(run_path: Path) -> list[Path]:
    return sorted((run_path / "wandb").glob("offline-run-*"))


def _records(data: bytes) -> list[bytes]:
    whole, part, place = [], b"", HEADER
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        part += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):
            whole.append(part)
            part = b""
    return whole


def _name(item: Any) -> str:
    return item.key or "/".join(item.nested_key)


def _run(result: Read, record: Any) -> None:
    result.run = record.run
    _items(result.config, record.run.config.update)


def _items(into: dict[str, Any], items: Any) -> None:
    for item in items:
        into[_name(item)] = json.loads(item.value_json)


def _metric(result: Read, record: Any) -> None:
    name = record.metric.name or record.metric.glob_name
    if record.metric.step_metric:
        result.axes[name] = record.metric.step_metric


def _history(result: Read, record: Any) -> None:
    row: dict[str, Any] = {}
    _items(row, record.history.item)
    result.rows.append(row)


def _artifact(result: Read, record: Any) -> None:
    artifact = record.artifact if record.HasField("artifact") else record.request.log_artifact.artifact
    result.stored |= {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}


_READERS = {
    "artifact": _artifact,
    "request": _artifact,
    "run": _run,
    "config": lambda result, record: _items(result.config, record.config.update),
    "history": _history,
    "summary": lambda result, record: _items(result.summary, record.summary.update),
    "metric": _metric,
    "files": lambda result, record: result.files.extend(file.path for file in record.files.files),
    "exit": lambda result, record: setattr(result, "exit_code", record.exit.exit_code),
}
