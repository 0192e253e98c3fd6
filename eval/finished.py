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

    @property
    def files(self) -> list[Path]:
        suffix = ".text_only" if self.beside else ""
        return [self.path / "audio" / f"{clip}{suffix}.flac" for clip in self.clips["clip"]]

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
    found = []
    for path, rows in wanted.groupby("path"):
        finished = (read_json(Path(str(path)) / "status.json") or {}).get("finished", 0.0)
        good = rows[rows["failed"].isna()].dropna(axis=1, how="all").reset_index(drop=True)
        found.append((len(good), finished, Finished(task, method, Path(str(path)), good, len(rows) - len(good))))
    return max(found, key=lambda one: one[:2])[2] if found else None


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
