"""The paper's tables as `python -m eval.tables` has written them: ours, and below it the reported figure."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pandas as pd

from eval.report.names import written
from eval.report.tables import Cell, Table, read

ROWS = ["task", "setting", "label"]  # what names a row of results/tables/table<k>.csv, one line a figure
NEEDED = {*ROWS, "column", "ours", "low", "high", "reported", "n"}


def paper_tables(folder: Path) -> list[Table]:
    """table1.csv, table2.csv, … of a folder in their order; files of another form are left out."""
    files = sorted(folder.glob("table*.csv"), key=lambda file: [int(n) for n in re.findall(r"\d+", file.stem)])
    frames = [(file, read(file)) for file in files]
    return [_table(file, frame) for file, frame in frames if set(frame.columns) >= NEEDED]


def _table(file: Path, frame: pd.DataFrame) -> Table:
    keys = frame[ROWS].fillna("").astype(str)
    columns = list(dict.fromkeys(frame["column"]))
    found = {(*key, column): one for key, column, one in zip(_tuples(keys), frame["column"], _rows(frame), strict=True)}
    names = list(dict.fromkeys(_tuples(keys)))
    said = [key for key in range(len(ROWS)) if len({name[key] for name in names}) > 1 or ROWS[key] == "label"]
    body = [[Cell(_title(name, said)), *(_cell(found.get((*name, column))) for column in columns)] for name in names]
    n = ", ".join(f"{int(value)}" for value in sorted(frame["n"].dropna().unique()))
    head = [("", "", ""), *((str(column).replace("_", " "), "", "") for column in columns)]
    return Table(_heading(file), head, body, f"n = {n}" if n else "no run yet")


def _cell(one: dict[str, float] | None) -> Cell:
    """Our mean; its interval and the paper's figure as the note."""
    if one is None:
        return Cell("")
    ours, low, high, reported = (float(one[name]) for name in ("ours", "low", "high", "reported"))
    notes = ["" if math.isnan(low) else f"{written(low)} to {written(high)}"]
    notes += ["" if math.isnan(reported) else f"paper {written(reported)}"]
    return Cell(written(ours), None if math.isnan(ours) else ours, "; ".join(note for note in notes if note))


def _title(name: tuple[str, ...], said: list[int]) -> str:
    return ", ".join(name[key].replace("_", " ") for key in said if name[key])


def _heading(file: Path) -> str:
    """The first line of the Markdown beside the csv."""
    page = file.with_suffix(".md")
    lines = page.read_text().splitlines() if page.exists() else []
    return lines[0].removeprefix("# ") if lines else file.stem


def _tuples(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(frame.itertuples(index=False, name=None))


def _rows(frame: pd.DataFrame) -> list[dict[str, float]]:
    return frame[["ours", "low", "high", "reported"]].apply(pd.to_numeric, errors="coerce").to_dict("records")
