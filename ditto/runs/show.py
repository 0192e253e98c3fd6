"""One run as text; and the listing of many."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ditto.atomic import read_json
from ditto.runs.durations import spell
from ditto.runs.plans import read_plans, sweeps_by_run
from ditto.runs.reading import Run

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["run", "status", "task", "method", "model", "clips", "metric", "mean", "text_only", "seconds"]
_STOPPED = ("failed", "interrupted", "killed", "damaged")


def show(run: Run) -> str:
    """Where a run is, how it ended, where it was made, and its clips."""
    import pandas as pd

    environment = read_json(run.path / "environment.json")
    made = environment if isinstance(environment, dict) else {}
    sweeps = sweeps_by_run(run.path.parent).get(run.id, [])
    about = {
        "made of": " ".join(f"{key}={value}" for key, value in run.names.items()),
        "ended": time.strftime("%Y-%m-%d %H:%M", time.localtime(run.changed)) if run.changed else "",
        "took": spell(run.seconds) if run.seconds is not None else "",
        "on": ", ".join(str(made[key]) for key in ("device", "commit") if key in made),
        "sweeps": ", ".join(sweeps),
    }
    lines = [f"{run.path}: {run.status}" + (f", {run.reason}" if run.reason else "")]
    lines += [f"  {key:<8} {value}" for key, value in about.items() if value]
    if run.said.get("traceback"):
        lines.append(run.said["traceback"])
    if run.metrics:
        clips = pd.DataFrame.from_dict(run.metrics, orient="index")
        lines.append(clips.T.to_string(na_rep="-", float_format=lambda value: f"{value:.4g}"))
    return "\n".join(lines)


def listing(frame: pd.DataFrame) -> str:
    """The rows of `summary` as a table, and below it the reasons, which are too long for a column."""
    reasons = [f"  {row.run} ({row.status}): {row.reason}" for row in frame.itertuples() if row.reason]
    table = frame[COLUMNS].to_string(index=False, na_rep="-", float_format=lambda value: f"{value:.4g}")
    return "\n".join([table, *(["", "why:", *reasons] if reasons else [])])


def stopped(runs_dir: str | Path, runs: Sequence[Run]) -> str:
    """The runs that are not there and not being made, by reason; and the commands that make them."""
    bad = {run.id: run for run in runs if run.status in _STOPPED}
    reasons: dict[str, list[str]] = {}
    for run in bad.values():
        reasons.setdefault(f"{run.status}: {run.reason}", []).append(run.id)
    lines = []
    for reason, ids in sorted(reasons.items(), key=lambda item: -len(item[1])):
        lines += [f"{len(ids)} {reason}", f"    {' '.join(ids)}"]
    for plan in read_plans(runs_dir):
        here = [bad[job.run] for job in plan.jobs if job.run in bad]
        if here:
            retry = " retry=true" if any(run.status == "failed" for run in here) else ""
            lines += ["", f"{len(here)} of them again: {plan.line}{retry}"]
    return "\n".join(lines) if lines else "nothing failed"
