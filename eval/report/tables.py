"""The table of a task: all methods x all metrics, from results/methods.csv."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ditto.types import UserError
from eval.report.names import arrow, metric, written

LAST = ("seconds_per_clip", "seconds_per_step", "steps", "model_calls", "peak_memory_gib", "batch_size", "failed")


@dataclass(frozen=True)
class Cell:
    """text as shown; sort: the number it stands for, None for words and empty cells; note: its interval."""

    text: str
    sort: float | None = None
    note: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """head: (label, unit, arrow) of each column; rows begin with their name. said: what it was measured against."""

    title: str
    head: list[tuple[str, str, str]]
    rows: list[list[Cell]]
    said: str = ""


def summary(path: Path, task: str, options: Mapping[str, Any]) -> Table | None:
    """Every metric of every method of a task; None where the file has no such task."""
    every = read(path)
    if every.empty or "task" not in every:
        return None
    rows = every[(every["task"] == task) & every["method"].isin(options["methods"])]
    if rows.empty:
        return None
    rows = rows.drop_duplicates(["method", "metric"], keep="last")
    metrics = _ordered(list(dict.fromkeys(rows["metric"])), options["controls"].get(task, []))
    found = rows.set_index(["method", "metric"])
    methods = [name for name in options["methods"] if name in found.index.levels[0]]
    best = {name: _best(found, name) for name in metrics}
    labels = options["labels"]
    body = []
    for method in methods:
        counted = int(found.loc[method]["n"].max())
        cells = [_cell(found, method, name, best[name]) for name in metrics]
        body.append([Cell(labels.get(method, method)), *cells, Cell(f"{counted}", counted)])
    head = [("method", "", ""), *((*metric(name), arrow(name)) for name in metrics), ("n", "", "")]
    fad = rows[rows["metric"].str.startswith("fad")]
    references = sorted({str(name) for name in fad.get("reference", pd.Series(dtype=str)).dropna()} - {""})
    return Table(task, head, body, "; ".join(references))


def read(path: Path) -> pd.DataFrame:
    """A csv file; an empty frame where it is not there."""
    if not path.exists():
        return pd.DataFrame()
    try:
        return pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no table: {error}; make it again or move it away") from error


def _ordered(metrics: list[str], first: list[str]) -> list[str]:
    """The task's own metrics, then the others, costs at the end."""
    kept = [name for name in metrics if name not in LAST and name not in first]
    return [
        *[n for n in first if n in metrics],
        *(n for n in kept if not n.startswith(("tag", "fad"))),
        *(n for n in kept if n.startswith(("tag", "fad"))),
        *(n for n in LAST if n in metrics),
    ]


def _best(found: pd.DataFrame, name: str) -> float:
    """The best value of the methods that control; NaN where neither way is better, or nothing differs."""
    values = found.xs(name, level="metric")["value"].drop("text_only", errors="ignore")
    if not arrow(name) or values.nunique() < 2:
        return math.nan
    return float(values.max() if arrow(name) == "↑" else values.min())


def _cell(found: pd.DataFrame, method: str, name: str, best: float) -> Cell:
    if (method, name) not in found.index:
        return Cell("")
    value, low, high = (float(found.loc[(method, name)][column]) for column in ("value", "low", "high"))
    note = "" if math.isnan(low) or low == high else f"{written(low)} to {written(high)}"
    return Cell(written(value), value, note, value == best and method != "text_only")
