"""Methods side by side: tasks as rows, methods as columns, each cell the mean of the task's primary metric and n clips.

Runs of the same settings and other clips (seeds, prompts) are one cell's clips together. Where a method was run with
several settings, one is shown: that with the most clips, the newest of equals. Text-only is the mean over the clips
that controlled runs keep beside theirs, each prompt and seed counted once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ditto.run_directory import NOT_IDENTITY
from ditto.runs.reading import Run

if TYPE_CHECKING:
    import pandas as pd

BESIDE = "text-only beside"
_ROWS = ["task", "model", "metric"]
_CLIPS = ["prompt", "seed"]
_OTHER_CLIPS = ("seed", "prompt", "default_prompt", "tuned")  # and what begins with prompts_

Cell = tuple[str, str, str, str]  # task, model, metric, column


def cells(runs: Iterable[Run], by: str = "method") -> dict[Cell, list[list[Run]]]:
    """The finished runs of each cell, grouped by their settings: the group that is shown first."""
    found: defaultdict[Cell, defaultdict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if run.status == "done" and run.metric:
            column = run.names[by] if by in run.names else run.config.get(by, "-")
            cell = (run.names.get("task", "?"), run.names.get("model", "?"), run.metric, str(column))
            found[cell][_settings(run)].append(run)
    return {cell: sorted(groups.values(), key=_weight, reverse=True) for cell, groups in sorted(found.items())}


def clip_values(chosen: dict[Cell, list[list[Run]]]) -> pd.DataFrame:
    """A row per clip that did not fail, of the runs that are shown.

    Columns: task, model, metric, column (what is compared), prompt, seed, value, text_only.
    """
    import pandas as pd

    rows = [row for cell, groups in chosen.items() for run in groups[0] for row in _rows(cell, run)]
    frame = pd.DataFrame(rows, columns=[*_ROWS, "column", *_CLIPS, "value", "text_only"])
    return frame.drop_duplicates([*_ROWS, "column", *_CLIPS])


def same_clips(values: pd.DataFrame) -> pd.DataFrame:
    """Only the prompts and seeds that every column of a task has."""
    columns = values.groupby(_ROWS)["column"].transform("nunique")
    having = values.groupby([*_ROWS, *_CLIPS])["column"].transform("nunique")
    return values[columns == having]


def comparison(values: pd.DataFrame) -> pd.DataFrame:
    """The table: "mean (n)" as text; rows task, model and metric, columns text-only and what was compared."""
    table = values.groupby([*_ROWS, "column"])["value"].agg(["mean", "count"]).apply(_text, axis=1).unstack("column")
    beside = values.dropna(subset="text_only").drop_duplicates([*_ROWS, *_CLIPS])
    if len(beside):
        table.insert(0, BESIDE, beside.groupby(_ROWS)["text_only"].agg(["mean", "count"]).apply(_text, axis=1))
    return table.fillna("-")


def remarks(chosen: dict[Cell, list[list[Run]]], values: pd.DataFrame) -> list[str]:
    """What a reader has to know: where one of several settings is shown, and where columns have other clips."""
    several: defaultdict[str, list[str]] = defaultdict(list)
    for (task, _, _, column), groups in chosen.items():
        if len(groups) > 1:
            several[task].append(f"{column} (of {len(groups)}, run {groups[0][-1].id[:6]})")
    notes = [f"  {task}: {', '.join(columns)}" for task, columns in several.items()]
    if notes:
        notes.insert(0, "one of several settings is shown, that with the most clips or the newest (see --by KEY):")
    if len(same_clips(values)) != len(values):
        notes.append("not every column has the same clips: --same-clips compares those that all have")
    return notes


def _settings(run: Run) -> str:
    """The configuration without what only chooses the clips: the same word for runs that belong together."""
    left_out = (*NOT_IDENTITY, *_OTHER_CLIPS)
    kept = [(k, v) for k, v in run.config.items() if k.split(".")[0] not in left_out and not k.startswith("prompts_")]
    return repr(sorted(kept, key=lambda item: item[0]))


def _weight(runs: Sequence[Run]) -> tuple[int, float]:
    return sum(len(run.metrics) for run in runs), max(run.changed for run in runs)


def _rows(cell: Cell, run: Run) -> list[dict[str, Any]]:
    about = dict(zip((*_ROWS, "column"), cell, strict=True))
    return [
        {
            **about,
            **{key: clip.get(key) for key in _CLIPS},
            "value": clip[run.metric],
            "text_only": clip.get(f"{run.metric}_text_only"),
        }
        for clip in run.metrics.values()
        if isinstance(clip.get(run.metric), int | float)
    ]


def _text(row: pd.Series) -> str:
    return f"{row['mean']:.4g} ({int(row['count'])})"
