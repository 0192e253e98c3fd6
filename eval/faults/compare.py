"""Two folders of runs, compared byte by byte in what was computed; what was measured while computing may differ."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ditto.run_directory import read_json
from ditto.runs import run_paths, state

MEASURED = ("seconds", "peak_memory_gib", "batch_size")  # of a clip: time, memory, and how memory was filled


@dataclass(frozen=True)
class Comparison:
    """Numbers of runs: expected; made and whole; not expected; equal in all metrics; equal in x_T, x_0 and sound."""

    expected: int
    made: int
    unexpected: int
    equal_metrics: int
    equal_files: int
    clips: int


def compare(reference: Path, other: Path) -> Comparison:
    """`other` against `reference`, run by run."""
    wanted = {path.name for path in run_paths(reference) if state(path)[0] == "done"}
    there = {path.name for path in run_paths(other)}
    made = {name for name in there & wanted if state(other / name)[0] == "done"}
    same = [name for name in made if metric_bytes(reference / name) == metric_bytes(other / name)]
    files = [name for name in made if _files(reference / name) == _files(other / name)]
    clips = sum(len(json.loads((other / name / "metrics.json").read_text())) for name in made)
    return Comparison(len(wanted), len(made), len(there - wanted), len(same), len(files), clips)


def difference(reference: Path, other: Path) -> float:
    """The largest relative difference of any metric of any clip; inf where one is missing."""
    return max(_differences(reference, other), default=math.inf)


def _differences(reference: Path, other: Path) -> Iterator[float]:
    for path in run_paths(reference):
        ours = read_json(other / path.name / "metrics.json") or {}
        for clip, values in (read_json(path / "metrics.json") or {}).items():
            numbers = {k: v for k, v in values.items() if k not in MEASURED and isinstance(v, float)}
            for name, value in numbers.items():
                there = ours.get(clip, {}).get(name, math.inf)
                yield abs(there - value) / max(abs(value), 1e-12)


def metric_bytes(path: Path) -> bytes:
    """metrics.json of a run without what was measured, in its own order of clips and keys."""
    metrics = json.loads((path / "metrics.json").read_text())
    kept = {clip: {k: v for k, v in values.items() if k not in MEASURED} for clip, values in metrics.items()}
    return json.dumps(kept).encode()


def _files(path: Path) -> dict[str, bytes]:
    """Latents and sound."""
    found = [path / "x_T.safetensors", *sorted(path.glob("audio/*"))]
    return {file.name: file.read_bytes() for file in found if file.exists()}
