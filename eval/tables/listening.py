"""Table 4 from the ratings of listeners, or, where there are none, from the automatic stand-in, named as such."""

from __future__ import annotations

import pandas as pd

from eval.sets import Row as Line
from eval.tables.base import PROVENANCE, Context, Filled, Value
from eval.tables.definition import Block, Column, Row, Table

STANDIN = "automatic stand-in, no listeners"
COMMANDS = {
    "listening": "python -m eval.listening.page && python -m eval.listening.aggregate",
    "listening_standin": "python -m eval.listening.standin",
}


class FromListening:
    """A row is a pair of methods, a block a task; from the csv of `eval.listening.aggregate` or of the stand-in."""

    def fill(self, table: Table, context: Context, *, measure: bool = True) -> Filled:
        found = {name: _read(context, name) for name in COMMANDS}
        name = next((name for name, rows in found.items() if len(rows)), "listening_standin")
        values = [
            _value(table, row, block, column, found[name], COMMANDS[name])
            for row, block in table.crossings({})
            for column in block.columns
        ]
        lacking = any(value.line is None for value in values)
        remarks = [] if name == "listening" else [f"Nobody has listened yet: {COMMANDS['listening']}"]
        return Filled(values if measure else [], [], [COMMANDS[name]] if lacking else [], remarks)


def _read(context: Context, name: str) -> pd.DataFrame:
    """The rows of the csv; none where it is missing, or says that it holds what its name does not."""
    path = context.results / f"{name}.csv"
    rows = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["standin"])
    return rows[rows["standin"].astype(bool) == (name == "listening_standin")]


def _value(table: Table, row: Row, block: Block, column: Column, rows: pd.DataFrame, command: str) -> Value:
    empty = Value(row, block, column, table.cell(row, block), other=command)
    wanted = {"task": block.task, "method": row.method, "metric": column.name}
    matching = rows[(rows[list(wanted)] == pd.Series(wanted)).all(axis=1)] if len(rows) else rows
    if not len(matching):
        return empty
    said = dict(matching.iloc[0])
    title = {"title": STANDIN} if said["standin"] else {}
    line: Line = {**{name: said.get(name) for name in ("metric", "value", "low", "high", "n")}, **title}
    made = {name: said[name] for name in PROVENANCE}
    return Value(row, block, column, empty.cell, {**line, "reference": said["judge"]}, made, command)
