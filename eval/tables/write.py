"""Tables as files: each whole or as it was, and the index of all that are there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ditto.run_directory import write_bytes
from eval.page import table_lines
from eval.tables import latex, long, markdown
from eval.tables.base import Filled
from eval.tables.definition import Table

INDEX = (
    "The paper's tables from this repository's runs, ours beside the reported figures: `python -m eval.tables`. Model, "
    "music and judges are not the paper's, and n is smaller: orders compare, values need not."
)


def write_table(table: Table, filled: Filled, folder: Path) -> Path:
    """table<k>.csv, .tex and .md in the folder; the last of them."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"table{table.number}"
    csv = long.frame(table, filled).to_csv(index=False, float_format="%.6g")
    files = {".csv": csv, ".tex": latex.page(table, filled), ".md": markdown.page(table, filled)}
    for suffix, text in files.items():
        write_bytes(stem.with_suffix(suffix), text.encode())
    return stem.with_suffix(".md")


def write_index(folder: Path) -> Path:
    """README.md: every table that is there, with how much of it is filled."""
    lines = []
    for path in sorted(folder.glob("table*.csv"), key=lambda one: int(one.stem.removeprefix("table"))):
        rows = pd.read_csv(path)
        filled = rows["ours"].notna()
        n = ", ".join(f"{int(count)}" for count in sorted(rows["n"].dropna().unique()))
        title = path.with_suffix(".md").read_text().splitlines()[0].removeprefix("# ")
        links = f"[{title}]({path.stem}.md)", f"[csv]({path.name}), [tex]({path.stem}.tex)"
        lines.append([*links, f"{filled.sum()} of {len(rows)}", n])
    text = ["# Tables", "", INDEX, "", *table_lines(["table", "files", "figures", "n"], lines)]
    path = folder / "README.md"
    write_bytes(path, ("\n".join(text) + "\n").encode())
    return path
