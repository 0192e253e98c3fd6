"""Finished runs as the evaluation sees them: which clips a method made for a task, their metrics and sound files."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ditto.run_directory import read_json
from ditto.runs import load_runs
from ditto.types import UserError
from eval.sets import Row

ABOUT = ("prompt", "seed", "seconds", "batch_size", "steps", "stopped", "model_calls", "peak_memory_gib", "loss")
BESIDE = "_text_only"


@dataclass(frozen=True)
class Finished:
    """The clips that one method made for one task, from one run directory."""

    task: str
    method: str
    path: Path
    clips: pd.DataFrame  # one row per clip that did not fail; the columns are its metrics
    failed: int
    beside: bool = False  # text-only clips kept beside a controlled run

    @classmethod
    def of(cls, task: str, method: str, path: Path, rows: pd.DataFrame) -> Finished:
        """From the rows of `load_runs` of one run, failed clips included."""
        good = rows[rows["failed"].isna()].dropna(axis=1, how="all").reset_index(drop=True)
        return cls(task, method, path, good, len(rows) - len(good))

    @property
    def files(self) -> list[Path]:
        """The sound of each clip as it was generated: where an edit was stitched to its recording, the clip alone.

        The recording inside a stitched wave is real music; it would lower FAD whatever the method did.
        """
        return [self._file(clip) for clip in self.clips["clip"]]

    def _file(self, clip: str) -> Path:
        suffixes = [".text_only"] if self.beside else [".raw", ""]
        files = [self.path / "audio" / f"{clip}{suffix}.flac" for suffix in suffixes]
        return next((file for file in files if file.exists()), files[-1])

    @property
    def finished(self) -> float:
        """When the run ended, in seconds since 1970."""
        return (read_json(self.path / "status.json") or {}).get("finished", 0.0)

    @property
    def provenance(self) -> Row:
        environment = read_json(self.path / "environment.json") or {}
        kept = {name: environment.get(name, "unknown") for name in ("model", "device", "commit", "weights")}
        return {**kept, "run": self.path.name}

    def beside_text_only(self) -> Finished:
        """The text-only clips of this run, with their metrics under the same names."""
        values = {c.removesuffix(BESIDE): self.clips[c] for c in self.clips.columns if c.endswith(BESIDE)}
        kept = self.clips[["clip", "prompt"]].assign(**values)
        return replace(self, method="text_only", clips=kept, failed=0, beside=True)


def find(runs: pd.DataFrame, task: str, method: str, model: str) -> Finished | None:
    """The finished run of this task and method with the most clips, the newest of equals."""
    if runs.empty:
        return None
    wanted = runs[(runs["task"] == task) & (runs["method"] == method) & (runs["model"] == model)]
    found = [Finished.of(task, method, Path(str(path)), rows) for path, rows in wanted.groupby("path")]
    return max(found, key=lambda one: (len(one.clips), one.finished), default=None)


def collect(options: dict[str, Any]) -> list[Finished]:
    """What is there for each task and method; a missing one is named."""
    runs = load_runs(options["runs"])
    found = []
    for task in options["tasks"]:
        ditto = find(runs, task, "ditto", options["model_name"])
        for method in options["methods"]:
            one = ditto if method == "ditto" else find(runs, task, method, options["model_name"])
            if one is None and method == "text_only" and ditto is not None:
                one = ditto.beside_text_only()
            if one is None or one.clips.empty:
                command = f"python -m ditto.run +experiment=main_job_{task} method={method}"
                print(f"no finished run of {task} with {method}: {command}", file=sys.stderr)
            else:
                found.append(one)
    if not found:
        raise UserError(
            f"no finished run of {', '.join(options['tasks'])} of model {options['model_name']} in {options['runs']}"
        )
    return found
