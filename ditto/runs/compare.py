"""Methods side by side: tasks as rows, methods as columns, each cell the mean of the task's primary metric and n clips.

Text-only is the mean over the clips that controlled runs keep beside theirs, each prompt and seed counted once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ditto.runs.reading import Run

if TYPE_CHECKING:
    import pandas as pd

BESIDE = "text-only beside"
_ROWS = ["task", "model", "metric"]


def clip_values(runs: Sequence[Run], by: str = "method") -> pd.DataFrame:
    """A row per clip of finished runs that did not fail.

    Columns: task, model, metric, `column` (what `by` is for its run: a group like method, or a key of its
    configuration), run, prompt, seed, value, text_only.
    """
    import pandas as pd

    rows = [row for run in runs if run.status == "done" and run.metric for row in _rows(run, by)]
    return pd.DataFrame(rows, columns=[*_ROWS, "column", "run", "prompt", "seed", "value", "text_only"])


def same_clips(values: pd.DataFrame) -> pd.DataFrame:
    """Only the prompts and seeds that every column of a task has."""
    columns = values.groupby(_ROWS)["column"].transform("nunique")
    having = values.groupby([*_ROWS, "prompt", "seed"])["column"].transform("nunique")
    return values[columns == having]


def comparison(values: pd.DataFrame) -> pd.DataFrame:
    """The table: "mean (n)" as text; rows task, model and metric, columns text-only and what was compared."""
    cells = values.groupby([*_ROWS, "column"])["value"].agg(["mean", "count"]).apply(_cell, axis=1).unstack("column")
    beside = values.dropna(subset="text_only").drop_duplicates([*_ROWS, "prompt", "seed"])
    if len(beside):
        texts = beside.groupby(_ROWS)["text_only"].agg(["mean", "count"]).apply(_cell, axis=1)
        cells.insert(0, BESIDE, texts)
    return cells.fillna("-")


def remarks(values: pd.DataFrame) -> list[str]:
    """What a reader has to know: where runs were pooled that differ, and where columns have other clips."""
    notes = []
    for (task, column), rows in values.groupby(["task", "column"]):
        if rows.duplicated(["model", "metric", "prompt", "seed"]).any():
            runs = rows["run"].nunique()
            notes.append(
                f"{task}, {column}: {runs} runs with other settings are pooled; --by KEY or a filter parts them"
            )
    counts = values.drop_duplicates([*_ROWS, "column", "prompt", "seed"]).groupby(_ROWS)
    if any(len(same_clips(rows)) != len(rows) for _, rows in counts):
        notes.append("not every column has the same clips: --same-clips compares those that all have")
    return notes


def _rows(run: Run, by: str) -> list[dict[str, Any]]:
    column = run.names[by] if by in run.names else run.config.get(by, "-")
    about = {"task": run.names.get("task", "?"), "model": run.names.get("model", "?"), "metric": run.metric}
    about |= {"column": str(column), "run": run.id}
    return [
        {
            **about,
            "prompt": clip.get("prompt"),
            "seed": clip.get("seed"),
            "value": clip[run.metric],
            "text_only": clip.get(f"{run.metric}_text_only"),
        }
        for clip in run.metrics.values()
        if isinstance(clip.get(run.metric), int | float)
    ]


def _cell(row: pd.Series) -> str:
    return f"{row['mean']:.4g} ({int(row['count'])})"
