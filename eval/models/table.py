"""<results>/models.csv: rows of a model on a device replace its older ones from there, others stay.

So the file holds what was counted, what a GPU measured, and what another GPU measured, each with its commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from eval.efficiency.cases import Case
from eval.efficiency.table import loaded, where, write
from eval.sets import Row

CASE = ("model", "recompute", "sampler_steps", "batch_size")
FIGURE = ("how", "metric", "value", "low", "high", "n", "note")
WHERE = ("device", "threads", "torch", "precision", "commit", "weights", "load", "busy")
COLUMNS = (*CASE, *FIGURE, *WHERE)
KEY = ["model", "how", "device"]
META = "meta (shapes only)"


def recomputes(case: Case) -> bool:
    """Whether the case's model runs its blocks again in the backward pass."""
    return bool(case.options["model"].get("recompute"))


def labelled(rows: Sequence[Row], case: Case, how: str, load: float) -> list[Row]:
    """The figures of a case with all that a row says."""
    about = {"model": case.model_name, "recompute": recomputes(case), "sampler_steps": case.sampler_steps}
    place = where(case) | loaded(load)
    if how == "counted":
        place |= {"device": META, "threads": "", "load": "", "busy": False}
    return [{"note": "", **about, "batch_size": case.batch_size, "how": how, **one, **place} for one in rows]


def merged(new: Sequence[Mapping[str, Any]], old: pd.DataFrame | None) -> pd.DataFrame:
    """The new rows, and the old ones of other models, devices and kinds."""
    frame = pd.DataFrame(list(new), columns=list(COLUMNS))
    if old is not None and len(old):
        made = set(frame[KEY].itertuples(index=False, name=None))
        kept = [key not in made for key in old[KEY].itertuples(index=False, name=None)]
        frame = pd.concat([old[kept], frame]) if any(kept) else frame
    return frame.sort_values([*KEY, "recompute"], kind="stable", ignore_index=True)


def read(path: Path) -> pd.DataFrame | None:
    """The table, if there is one."""
    text = dict.fromkeys(("note", "load", "threads", "commit", "weights", "torch"), str)
    return (
        pd.read_csv(path, dtype=text, keep_default_na=False, na_values={"low": "", "high": "", "value": ""})
        if path.exists()
        else None
    )


def keep(new: Sequence[Mapping[str, Any]], path: Path) -> pd.DataFrame:
    """Write the table with these rows; returns it."""
    frame = merged(new, read(path))
    write(frame, path)
    return frame
