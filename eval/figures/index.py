"""results/figures/README.md: what each figure shows, the command that draws it, and the runs it was drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from eval.page import write_block

NAME = "README.md"
RUN = ("task", "method", "run")
SHARED = ("clip", "n", "model", "weights", "device", "commit", "judge", "reference")


def stem(name: str) -> str:
    """The file name of a figure: "3" -> "figure3", "latents" -> "latents"."""
    return f"figure{name}" if name.isdigit() else name


def write_index(folder: Path, defined: Mapping[str, Mapping[str, Any]]) -> Path:
    """Rewrite the generated part of the index for every defined figure that lies in the folder."""
    lines: list[str] = []
    for name, entry in defined.items():
        if (folder / f"{stem(name)}.png").exists():
            lines += ["", *section(folder, name, entry["shows"])]
    write_block(folder / NAME, "figures", lines[1:], "Figures")
    return folder / NAME


def section(folder: Path, name: str, shows: str) -> list[str]:
    """Heading, picture, caption, and where the numbers come from."""
    file = stem(name)
    title = f"Figure {name}" if name.isdigit() else name.capitalize()
    made = f"`python -m eval.figures figures=[{name}]` · [{file}.csv]({file}.csv)"
    lines = [f"## {title}", "", f"![{title}]({file}.png)", "", " ".join(shows.split()), "", made]
    table = folder / f"{file}.csv"
    return [*lines, *provenance(pd.read_csv(table, dtype=str))] if table.exists() else lines


def provenance(table: pd.DataFrame) -> list[str]:
    """The runs, and the columns of `SHARED` that the table has, as lines of a page."""
    known = [name for name in RUN if name in table]
    runs = table[known].dropna(subset="run").drop_duplicates() if "run" in known else pd.DataFrame()
    named = [" ".join(f"`{v}`" if n == "run" else v for n, v in row.dropna().items()) for _, row in runs.iterrows()]
    shared = {name: list(dict.fromkeys(table[name].dropna())) for name in SHARED if name in table}
    said = [f"{name}: {', '.join(values)}" for name, values in shared.items() if values]
    return ["", f"Runs: {'; '.join(named)}."] * bool(named) + ["", f"{'; '.join(said)}."] * bool(said)
