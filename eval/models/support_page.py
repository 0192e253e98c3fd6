"""The generated table of docs/models.md: models x tasks x methods, from what was tried."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from eval.page import table_lines, write_block

ALL, UNDEFINED, NONE = "all", "–", "none"


def write_support(frame: pd.DataFrame, path: Path) -> None:
    """Rewrite the table of the page."""
    write_block(path, "support", support_lines(frame), "The models")


def support_lines(frame: pd.DataFrame) -> list[str]:
    """A line a method and a column a task; then why what is missing is missing."""
    models, tasks = (list(dict.fromkeys(frame[column])) for column in ("model", "task"))
    outcomes = frame.set_index(["method", "task", "model"])["outcome"]
    rows = []
    for method in dict.fromkeys(frame["method"]):
        cells = [cell({m: outcomes.get((method, task, m), "") for m in models}) for task in tasks]
        rows.append([f"`{method}`", *cells])
    about = (
        f"Tried, {frame['n'].max()} clip each: {', '.join(f'`{model}`' for model in models)}. {ALL}: on each of them; "
        f"{UNDEFINED}: the method has no meaning for the task; otherwise the models on which it works. "
        f"{', '.join(dict.fromkeys(frame['device']))}; commit {', '.join(dict.fromkeys(frame['commit']))}."
    )
    return [about, "", *table_lines(["method", *(task.replace("_", " ") for task in tasks)], rows), *_reasons(frame)]


def cell(outcomes: dict[str, str]) -> str:
    """What a cell says of one method and task on all models."""
    works = [model for model, outcome in outcomes.items() if outcome == "ok"]
    if len(works) == len(outcomes):
        return ALL
    if not works and set(outcomes.values()) == {"undefined"}:
        return UNDEFINED
    return ", ".join(works) or NONE


def _reasons(frame: pd.DataFrame) -> list[str]:
    """What was neither made nor undefined, once a reason."""
    bad = frame[frame["outcome"].isin(("needs", "failed"))]
    lines = []
    for reason, rows in bad.groupby(bad["reason"].map(_short), sort=False):
        methods, models, tasks = (", ".join(dict.fromkeys(rows[c])) for c in ("method", "model", "task"))
        lines.append(f"- {methods} on {models} ({tasks}): {reason}.")
    return ["\nWhat is missing, in the error's own words:\n", *lines] if lines else []


def _short(reason: str) -> str:
    """Its first clause, without the hashes of weights and the name of the model, which differ from model to model."""
    plain = re.sub(r" \((weights )?[0-9a-f]{16}\)| [0-9a-f]{16}", "", re.split(r"; |: (?=train)", reason)[0])
    return re.sub(r"not to model=\w+", "not to this model", plain)
