"""Runs as pandas frames: a row per clip, or a row per run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ditto.runs.filters import select
from ditto.runs.plans import sweeps_by_run
from ditto.runs.reading import Run

if TYPE_CHECKING:
    import pandas as pd


def load_runs(runs_dir: str | Path = "runs", words: Sequence[str] = ()) -> pd.DataFrame:
    """One row per clip of every finished run: run, path, task, method, model, sampler, clip, then its metrics.

    A clip that failed has its reason in the column `failed` and no metrics. `words` choose among the runs
    (`ditto.runs.filters`). Damaged runs are left out, and a line on standard error names them.
    """
    import pandas as pd

    chosen = select(runs_dir, words)
    damaged = [run for run in chosen if run.status == "damaged"]
    if damaged:
        print(f"warning: {len(damaged)} damaged runs are left out: python -m ditto.runs verify", file=sys.stderr)
    return pd.DataFrame([row for run in chosen if run.status == "done" for row in _clip_rows(run)])


def summary(runs_dir: str | Path = "runs", words: Sequence[str] = ()) -> pd.DataFrame:
    """One row per run, finished or not; metric means leave failed clips out.

    Columns: run, status, task, method, model, clips (made/wanted), metric, mean, text_only, seconds (of its clips),
    reason, sampler, sweep, started, finished (seconds since 1970), duration_s, path.
    """
    import pandas as pd

    sweeps = sweeps_by_run(runs_dir)
    return pd.DataFrame([_run_row(run, sweeps) for run in select(runs_dir, words)])


def _clip_rows(run: Run) -> list[dict[str, Any]]:
    about = {"run": run.id, "path": str(run.path), **run.names}
    return [{**about, "clip": clip, "failed": None, **values} for clip, values in run.metrics.items()]


def _run_row(run: Run, sweeps: dict[str, list[str]]) -> dict[str, Any]:
    clips = [values for values in run.metrics.values() if "failed" not in values]
    failed, reason = run.said.get("failed_clips", {}), run.reason
    if failed and not reason:
        reason = f"{len(failed)} clips failed: {next(iter(failed.values()))}"
    return {
        "run": run.id,
        "status": run.status,
        **{key: run.names.get(key, "?") for key in ("task", "method", "model")},
        "clips": f"{len(clips) or run.clips_made}/{run.said.get('clips', '?')}",
        "metric": run.metric,
        "mean": mean(clips, run.metric),
        "text_only": mean(clips, f"{run.metric}_text_only"),
        "seconds": sum(values.get("seconds") or 0.0 for values in clips),
        "reason": reason,
        "sampler": run.names.get("sampler", "?"),
        "sweep": ",".join(sweeps.get(run.id, [])),
        "started": run.said.get("started"),
        "finished": run.said.get("finished"),
        "duration_s": run.seconds,
        "path": str(run.path),
    }


def mean(clips: Sequence[dict[str, Any]], name: str) -> float:
    """Of the clips that have this value; NaN where none has."""
    values = [clip[name] for clip in clips if isinstance(clip.get(name), int | float)]
    return sum(values) / len(values) if values else float("nan")
