"""The rows as a table with where, when and of what they were measured: <results>/<name>.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ditto.environment import environment
from ditto.run_directory import write_bytes
from ditto.types import UserError
from eval.efficiency.busy import is_busy
from eval.efficiency.cases import Case
from eval.efficiency.rounds import Measured
from eval.efficiency.rows import case_rows
from eval.efficiency.thresholds import Reached
from eval.sets import Row

CASE = ("model", "task", "method", "sampler_steps", "memory", "batch_size")
FIGURE = ("metric", "value", "low", "high", "n", "run")
WHERE = ("device", "threads", "torch", "precision", "commit", "weights", "load", "busy")
COLUMNS = (*CASE, *FIGURE, *WHERE)


def table(measured: Sequence[Measured], reach: Mapping[Case, Reached | None], where: Mapping[str, Any]) -> pd.DataFrame:
    """A row for each figure of each case, in the columns of `COLUMNS`."""
    rows = [
        {"run": "", **_about(one.case), **figures, **where}
        for one in measured
        for figures in case_rows(one.case, one.seen, one.timed, reach.get(one.case))
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"low": float, "high": float})


def write(frame: pd.DataFrame, path: Path) -> None:
    """The file whole, or as it was."""
    write_bytes(path, frame.to_csv(index=False, float_format="%.6g").encode())


def read(path: Path, command: str) -> pd.DataFrame:
    """A table that `write` wrote; UserError with the command that makes it where there is none."""
    if not path.exists():
        raise UserError(f"no {path}: {command}")
    return pd.read_csv(path, dtype={"run": "str"}).fillna({"run": ""})


def figure(frame: pd.DataFrame, metric: str, **choice: Any) -> Row | None:
    """The row of one figure, such as `figure(frame, "peak_gib", method="ditto", sampler_steps=20)`."""
    chosen = frame[frame["metric"] == metric]
    for column, value in choice.items():
        chosen = chosen[chosen[column] == value]
    return {str(key): value for key, value in chosen.iloc[0].items()} if len(chosen) else None


def where(case: Case) -> Row:
    """The machine, the code and the weights."""
    about = environment(case.model)
    kept = {name: about[name] for name in ("device", "threads", "commit", "weights")}
    return {**kept, "torch": about["packages"]["torch"], "precision": about["network_dtype"]}


def loaded(load: float) -> Row:
    """How busy the machine was with other things."""
    return {"load": round(load, 2), "busy": is_busy(load)}


def _about(case: Case) -> Row:
    return {
        "model": case.model_name,
        "task": case.options["task"]["name"],
        "method": case.method,
        "sampler_steps": case.sampler_steps,
        "memory": case.policy,
        "batch_size": case.batch_size,
    }
