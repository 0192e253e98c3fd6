"""A table as a frame, one line a figure: results/tables/table<k>.csv."""

from __future__ import annotations

import pandas as pd

from eval.tables.base import Filled, Value
from eval.tables.definition import Table
from eval.tables.grid import reported

ABOUT = ("table", "task", "method", "label", "setting", "column", "metric")
FIGURE = ("ours", "low", "high", "n", "failed", "reported")
ORIGIN = ("run", "commit", "checkpoint", "device", "reference", "command", "note")


def frame(table: Table, filled: Filled) -> pd.DataFrame:
    """Every place of the table; `ours` is empty where the figure is missing, `command` says what makes it."""
    theirs = reported(table)
    rows = [
        _about(table, value) | {"reported": theirs.get((value.row, value.block, value.column.name))}
        for value in filled.values
    ]
    return pd.DataFrame(rows, columns=[*ABOUT, *FIGURE, *ORIGIN])


def _about(table: Table, value: Value) -> dict[str, object]:
    line, made = value.line or {}, value.provenance
    return {
        "table": table.number,
        "task": value.row.task or value.block.task,
        "method": value.row.method,
        "label": value.row.title,
        "setting": value.row.setting or value.block.setting,
        "column": value.column.name,
        "metric": line.get("metric", value.column.name),
        "ours": line.get("value"),
        **{name: line.get(name) for name in ("low", "high", "n")},
        "failed": value.failed,
        "run": made.get("run", ""),
        "commit": made.get("commit", ""),
        "checkpoint": made.get("weights", ""),
        "device": made.get("device", ""),
        "reference": line.get("reference", ""),
        "command": value.command,
        "note": "; ".join(value.notes),
    }
