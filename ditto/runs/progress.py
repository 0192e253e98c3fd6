"""How far a sweep is: the state of each job of its plan, read from the run directories, and the time that is left.

Cheap enough to be read every second: a status.json is parsed again only when the file is another one. What is running
is looked at each time, since a process may die without a word.

Time left: a waiting job takes as long as finished ones of its kind did, those of the same overrides but for seed and
prompts; without any of those, of the same task, method and model; without any, as all. A running job takes what is
missing to that, or nothing. Their sum is shared by as many as run at once.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from ditto import locks
from ditto.run_directory import NOT_IDENTITY
from ditto.runs.plans import FOLDER, Plan, read_plan, read_plans
from ditto.runs.reading import Run, read_run

STATES = ("done", "running", "failed", "stopped", "waiting", "undefined")
_STOPPED = ("interrupted", "killed", "damaged")
_SAME_KIND = {*NOT_IDENTITY, "seed", "prompt", "prompts_offset", "prompts_n", "prompts_file"}
_COARSE = {"task", "method", "model", "experiment"}


@dataclass(frozen=True)
class Progress:
    """One job: state is one of STATES, and stopped is what has to be made again: interrupted, killed or damaged."""

    run: str
    overrides: tuple[str, ...]
    state: str = "waiting"
    reason: str = ""
    clips_made: int = 0
    clips: int | None = None
    seconds: float | None = None  # what it took, or for how long it runs

    @property
    def settled(self) -> bool:
        return self.state in ("done", "failed", "undefined")


@dataclass(frozen=True)
class SweepProgress:
    """All jobs of a sweep, in the order of its plan."""

    plan: Plan
    jobs: tuple[Progress, ...]
    shared: frozenset[str] = frozenset()  # overrides of every job

    @property
    def counts(self) -> Counter[str]:
        return Counter(job.state for job in self.jobs)

    @property
    def over(self) -> bool:
        """Is nothing left that a launcher would make without being asked again?"""
        return all(job.settled for job in self.jobs)

    def told_apart(self, job: Progress) -> str:
        """The overrides that not all jobs have."""
        return " ".join(word for word in job.overrides if word not in self.shared)

    def of(self, state: str) -> list[Progress]:
        return [job for job in self.jobs if job.state == state]


class SweepReader:
    """Reads the progress of one sweep, again and again; `name` None: of the newest."""

    def __init__(self, runs_dir: str | Path, name: str | None = None) -> None:
        self.runs_dir = Path(runs_dir)
        self.name = name or self._newest()
        self._seen: dict[str, tuple[tuple[int, ...], Run]] = {}

    def read(self) -> SweepProgress:
        """LookupError where the sweep has no plan."""
        plan = read_plan(self.runs_dir / FOLDER / self.name / "plan.json")
        if plan is None:
            raise LookupError(f"no sweep {self.name!r} in {self.runs_dir}; there are: {self._names() or 'none'}")
        shared = set.intersection(*(set(job.overrides) for job in plan.jobs)) if len(plan.jobs) > 1 else set()
        return SweepProgress(
            plan, tuple(self._progress(job.run, job.overrides) for job in plan.jobs), frozenset(shared)
        )

    def _newest(self) -> str:
        plans = read_plans(self.runs_dir)
        if not plans:
            raise LookupError(f"no sweep in {self.runs_dir}: python -m ditto.run -m ... starts one")
        return plans[-1].name

    def _names(self) -> str:
        return ", ".join(plan.name for plan in read_plans(self.runs_dir))

    def _progress(self, run_id: str, overrides: tuple[str, ...]) -> Progress:
        run, waiting = self._run(run_id), Progress(run_id, overrides)
        if run is None:
            return waiting
        told = replace(waiting, reason=run.reason, clips=run.said.get("clips"))
        if run.status == "running":
            return replace(told, state="running", clips_made=run.clips_made, seconds=locks.held_s(run.path))
        if run.status in _STOPPED:
            return replace(told, state="stopped", reason=f"{run.status}: {run.reason}")
        return replace(told, state=run.status if run.status in STATES else "stopped", seconds=run.seconds)

    def _run(self, run_id: str) -> Run | None:
        """None where the run did not begin."""
        path = self.runs_dir / run_id
        try:
            stat = os.stat(path / "status.json")
        except OSError:
            return None
        version = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        seen, run = self._seen.get(run_id, ((), None))
        if run is None or seen != version or run.status in ("running", "killed"):
            run = read_run(path)
            self._seen[run_id] = version, run
        return run


def time_left(jobs: Sequence[Progress], at_once: int) -> float | None:
    """Seconds until the last job ends when `at_once` run side by side; None while nothing tells how long one takes.

    Failed jobs are over; stopped ones will be made again.
    """
    left = [job for job in jobs if not job.settled]
    if not left:
        return 0.0
    times = _Durations([job for job in jobs if job.state == "done" and job.seconds is not None])
    if not times.known or at_once < 1:
        return None
    missing = [max(0.0, times.of(job) - (job.seconds or 0.0)) for job in left]
    return max(sum(missing) / min(at_once, len(missing)), max(missing))


class _Durations:
    """How long finished jobs took, by kind."""

    def __init__(self, finished: Sequence[Progress]) -> None:
        kinds: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        for job in finished:
            for kind in _kinds(job):
                kinds[kind].append(max(0.0, job.seconds or 0.0))
        self.means = {kind: fmean(times) for kind, times in kinds.items()}
        self.known = bool(self.means)

    def of(self, job: Progress) -> float:
        return next(self.means[kind] for kind in _kinds(job) if kind in self.means)


def _kinds(job: Progress) -> list[tuple[str, ...]]:
    """From fine to coarse: the last one is every job."""
    keyed = [(word.partition("=")[0].lstrip("+~"), word) for word in job.overrides]
    fine = sorted(word for key, word in keyed if key not in _SAME_KIND)
    coarse = sorted(word for key, word in keyed if key in _COARSE)
    return [("fine", *fine), ("coarse", *coarse), ("any",)]
