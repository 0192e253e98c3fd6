"""What a sweep adds to its jobs: start-up once, and seconds a job, measured on jobs that take milliseconds."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ditto.runs import load_runs
from eval.faults.launchers import command, launch


def costs(options: Mapping[str, Any], folder: Path) -> dict[str, float]:
    """Seconds: start-up and per job with and without the extras that are on by default, for every engine.

    A job's cost is what `cost_jobs` jobs take longer than one, less what their clips took to be made, divided by the
    jobs; with two processes at work that is what a job adds to the time of the sweep. Start-up is one job's sweep, less
    its clip and the cost of a job.
    """
    if not options["cost_jobs"]:
        return {}
    plain = [word for word in options["jobs"] if not word.startswith(("method=", "task=", "seed=", "prompt="))]
    full = [word for word in plain if not word.startswith(("pictures=", "logger="))]
    found: dict[str, float] = {}
    for engine in options["engines"]:
        for name, words in (("bare", plain), ("pictures and W&B offline", full)):
            start_up, per_job = _cost(words, engine, options["cost_jobs"], folder / f"{engine}_{len(words)}")
            found[f"start-up of a sweep, {engine}, {name}, s"] = start_up
            found[f"added per job, {engine}, {name}, s"] = per_job
    again = _timed(plain, options["engines"][0], options["cost_jobs"], folder / f"{options['engines'][0]}_{len(plain)}")
    found["a sweep of finished jobs, per job, s"] = again / options["cost_jobs"]
    return found


def _cost(words: Sequence[str], engine: str, jobs: int, folder: Path) -> tuple[float, float]:
    one = _timed(words, engine, 1, folder / "one")
    many = _timed(words, engine, jobs, folder)
    made, first = load_runs(folder)["seconds"].sum(), load_runs(folder / "one")["seconds"].sum()
    per_job = (many - one - (made - first)) / (jobs - 1)
    return one - first - per_job, per_job


def _timed(words: Sequence[str], engine: str, jobs: int, folder: Path) -> float:
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    process = launch(command([*words, f"seed=range({jobs})"], folder, engine), folder / "log")
    if process.wait() != 0:
        raise subprocess.CalledProcessError(process.returncode, "the timed sweep", (folder / "log").read_text())
    return time.perf_counter() - start
