"""The plans that sweeps leave, runs/.sweeps/<name>/plan.json: which jobs they want, and the command they were."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ditto.atomic import read_json

FOLDER = ".sweeps"


@dataclass(frozen=True)
class Job:
    """One job of a sweep: the run it makes, and what it overrides."""

    run: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What a sweep wants; how far it is, only its run directories know."""

    name: str
    command: tuple[str, ...]  # after `python -m ditto.run`
    engine: str
    started: float  # seconds since 1970
    jobs: tuple[Job, ...]

    @property
    def line(self) -> str:
        """The command, to be typed again."""
        return shlex.join(["python", "-m", "ditto.run", *self.command])


def read_plan(file: Path) -> Plan | None:
    """None where there is no plan or it cannot be read."""
    said = read_json(file)
    if not isinstance(said, dict) or not isinstance(said.get("jobs"), list):
        return None
    jobs = [job for job in said["jobs"] if isinstance(job, dict) and isinstance(job.get("run"), str)]
    return Plan(
        name=str(said.get("name", file.parent.name)),
        command=_words(said.get("command")),
        engine=str(said.get("engine", "")),
        started=float(said["started"]) if isinstance(said.get("started"), int | float) else 0.0,
        jobs=tuple(Job(job["run"], _words(job.get("overrides"))) for job in jobs),
    )


def read_plans(runs_dir: str | Path) -> list[Plan]:
    """Every plan, the newest last."""
    found = [read_plan(file) for file in sorted(Path(runs_dir).glob(f"{FOLDER}/*/plan.json"))]
    return sorted((plan for plan in found if plan is not None), key=lambda plan: plan.started)


def sweeps_by_run(runs_dir: str | Path) -> dict[str, list[str]]:
    """Run id -> the names of the sweeps that want it."""
    members: defaultdict[str, list[str]] = defaultdict(list)
    for plan in read_plans(runs_dir):
        for job in plan.jobs:
            members[job.run].append(plan.name)
    return dict(members)


def _words(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else ()
