"""Measured clips on disk: <cache>/control/<key>.json, the key a hash of all that a metric depends on.

These are the clip's sound files, the run's control and the files that it names, the clip's place (targets cycle by
it), the model, and the code of metrics and controls: a change in any of them measures again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ditto.controls.reference import EXAMPLES
from ditto.run_directory import read_json, run_id, write_json
from eval.control import swift_f0

CODE = (Path(__file__).parent, Path(__file__).parents[2] / "ditto" / "controls")
PACKAGES = ("librosa", "scipy", "soxr")


def key(options: Mapping[str, Any], place: int, sound: str) -> str:
    """`sound`: the hash of the clip's files; `place`: its index in the run."""
    files = {name: _content(Path(name)) for name in sorted(set(_paths(options["task"])))}
    run = {"control": options["task"]["control"], "model": options["model"], "frames": options.get("frames")}
    return run_id({**run, "files": files, "place": place, "sound": sound, "version": _version()})


def read(folder: Path, name: str) -> dict[str, float] | None:
    """The metrics under a key, None where it was not measured yet."""
    found = read_json(folder / "control" / f"{name}.json")
    return found if isinstance(found, dict) and all(_finite(value) for value in found.values()) else None


def write(folder: Path, name: str, scores: Mapping[str, float]) -> None:
    write_json(folder / "control" / f"{name}.json", scores)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


@cache
def _version() -> str:
    """Of the metrics: their code, the packages and weights they use and the shipped targets."""
    digest = hashlib.sha256(json.dumps({name: version(name) for name in PACKAGES}).encode())
    for part in (*CODE, EXAMPLES, swift_f0.WEIGHTS):
        digest.update(_content(part).encode())
    return digest.hexdigest()


def _paths(value: Any) -> Iterator[str]:
    """Every string in a configuration that names a file or folder (curves, melodies, recordings)."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _paths(item)
    elif isinstance(value, str) and len(value) < 1000 and Path(value).exists():
        yield value


def _content(path: Path) -> str:
    """Of a file, or of the files of a folder and what is below it."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    kept = [file for file in files if file.suffix != ".pyc"]
    digest = hashlib.sha256()
    for file in kept:
        digest.update(f"{file.relative_to(path)}:".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
