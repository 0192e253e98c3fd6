"""What the run directories hold: `load_runs` for analysis, and a command that lists them.

python -m ditto.runs                 every run: status, task, method, model, clips, primary metric, seconds
python -m ditto.runs list --failed   the runs that did not finish, and why
python -m ditto.runs show ID         one run, clip by clip (the first letters of its id are enough)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ditto import locks
from ditto.run_directory import read_json

if TYPE_CHECKING:
    import pandas as pd


def run_paths(runs_dir: str | Path) -> list[Path]:
    """Every run directory below `runs_dir`, by name."""
    folder = Path(runs_dir)
    return sorted(p for p in folder.iterdir() if (p / "status.json").exists()) if folder.is_dir() else []


def state(path: Path) -> tuple[str, str]:
    """(status, reason) of a run; one that says running but whose process is gone was killed."""
    status = read_json(path / "status.json") or {"status": "unreadable"}
    if status["status"] == "running":
        owner = locks.holder(path)
        return ("running", owner) if owner else ("killed", "its process is gone; the same command goes on with it")
    return status["status"], status.get("reason", "")


def load_runs(runs_dir: str | Path = "runs") -> pd.DataFrame:
    """One row per clip of every finished run: run, path, task, method, model, sampler, clip, then its metrics.

    A clip that failed has its reason in the column `failed` and no metrics.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for path in run_paths(runs_dir):
        status = read_json(path / "status.json") or {}
        if status.get("status") != "done":
            continue
        run = {"run": path.name, "path": str(path), **status.get("names", {})}
        metrics = read_json(path / "metrics.json") or {}
        rows += [{**run, "clip": clip, "failed": None, **values} for clip, values in metrics.items()]
    return pd.DataFrame(rows)


def summary(runs_dir: str | Path = "runs") -> pd.DataFrame:
    """One row per run, finished or not; metric means leave failed clips out."""
    import pandas as pd

    return pd.DataFrame([_summary_row(path) for path in run_paths(runs_dir)])


def _summary_row(path: Path) -> dict[str, Any]:
    status = read_json(path / "status.json") or {}
    state_name, reason = state(path)
    names = status.get("names", {})
    metric = status.get("metric", "")
    clips = [values for values in (read_json(path / "metrics.json") or {}).values() if "failed" not in values]
    values = [values[metric] for values in clips if values.get(metric) is not None]
    beside = [values[f"{metric}_text_only"] for values in clips if values.get(f"{metric}_text_only") is not None]
    failed = status.get("failed_clips", {})
    if failed and not reason:
        reason = f"{len(failed)} clips failed: {next(iter(failed.values()))}"
    return {
        "run": path.name,
        "status": state_name,
        **{key: names.get(key, "?") for key in ("task", "method", "model")},
        "clips": f"{len(clips)}/{status.get('clips', '?')}",
        "metric": metric,
        "mean": sum(values) / len(values) if values else float("nan"),
        "text_only": sum(beside) / len(beside) if beside else float("nan"),
        "seconds": sum(values["seconds"] for values in clips),
        "reason": reason,
    }


def show(runs_dir: str | Path, prefix: str) -> str:
    """One run as text: where it is, how it ended, and its clips."""
    import pandas as pd

    matches = [path for path in run_paths(runs_dir) if path.name.startswith(prefix)]
    if len(matches) != 1:
        raise LookupError(f"{len(matches)} runs in {runs_dir} start with {prefix!r}: see python -m ditto.runs list")
    path = matches[0]
    state_name, reason = state(path)
    lines = [f"{path}: {state_name}" + (f", {reason}" if reason else "")]
    trace = (read_json(path / "status.json") or {}).get("traceback")
    clips = pd.DataFrame.from_dict(read_json(path / "metrics.json") or {}, orient="index")
    lines += [trace] if trace else []
    lines += [clips.T.to_string(na_rep="-", float_format=lambda value: f"{value:.4g}")] if len(clips) else []
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m ditto.runs", description="List the runs that are there.")
    parser.add_argument("command", nargs="?", choices=("list", "show"), default="list")
    parser.add_argument("id", nargs="?", help="the run to show (its first letters)")
    parser.add_argument("--runs-dir", default="runs")
    parser.add_argument("--failed", action="store_true", help="only runs that did not finish, or lost clips")
    options = parser.parse_args(arguments)
    if options.command == "show":
        if not options.id:
            parser.error("show needs the id of a run")
        try:
            print(show(options.runs_dir, options.id))
        except LookupError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        return 0
    frame = summary(options.runs_dir)
    if options.failed and len(frame):
        frame = frame[(frame.reason != "") & (frame.status != "running")]
    print("\n".join(_listing(frame)) if len(frame) else "no runs to show")
    return 0


def _listing(frame: pd.DataFrame) -> list[str]:
    """The table, and below it the reasons, which are too long for a column."""
    reasons = [f"  {row.run} ({row.status}): {row.reason}" for row in frame.itertuples() if row.reason]
    table = frame.drop(columns="reason").to_string(index=False, na_rep="-", float_format=lambda value: f"{value:.4g}")
    return [table, *(["", "why:", *reasons] if reasons else [])]


if __name__ == "__main__":
    raise SystemExit(main())
