"""How many optimisation steps a threshold takes: read from the histories of finished runs, clip by clip.

A run counts for a case if its method, sampler, target and number of steps K are the case's (its own threshold aside:
a run that stopped at τ or under it tells the same as one that went on) and its prompts are those of the asked split.
Of these the run with most clips, the newest of equals.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ditto.run_directory import read_json
from eval.asked import CONF, differences, flat
from eval.candidates import Candidate, candidates
from eval.efficiency.cases import Case

SAME = ("method", "sampler", "task.control", "frames")
OWN_THRESHOLD = "method.threshold="


@dataclass(frozen=True)
class Reached:
    """steps: of every clip without failure, the first k with a loss of at most τ; inf where it never was."""

    run: str
    steps: np.ndarray
    failed: int


def steps_to(losses: Iterable[float], threshold: float) -> float:
    """The first k whose loss, after k steps, is at most the threshold; inf if none is."""
    return next((float(k) for k, loss in enumerate(losses) if loss <= threshold), math.inf)


def reached(case: Case, runs: Iterable[Candidate], split: str) -> Reached | None:
    """From the best of the runs that count; None where there is none, or no threshold."""
    tau = case.threshold
    if tau is None or case.full_steps is None:
        return None
    counting = [one for one in runs if one.config.get("prompts_split") == split and _fits(one, case, tau)]
    if not counting:
        return None
    best = max(counting, key=lambda one: (len(one.rows), one.made.finished))
    histories = read_json(best.path / "history.json") or {}
    clips = best.made.clips["clip"] if len(best.made.clips) else []
    return Reached(
        best.path.name, np.array([steps_to(histories[clip]["loss"], tau) for clip in clips]), best.made.failed
    )


def finished(options: Mapping[str, Any]) -> list[Candidate]:
    """The finished runs of this task and model."""
    return list(
        candidates({"runs": options["runs"], "model_name": options["model_name"], "tasks": [options["task_name"]]})
    )


def command(case: Case, split: str) -> str:
    """What makes the run that is missing; it stops at τ, by the method's own variant where there is one."""
    stop = (CONF / "method" / f"{case.method}_stop.yaml").exists()
    chosen = f"method={case.method}_stop" if stop else f"method={case.method} method.threshold={case.threshold:g}"
    task, steps = case.options["task"]["name"], case.sampler_steps
    return (
        f"python -m ditto.run +experiment=methods model={case.model_name} task={task} {chosen} "
        f"prompts_split={split} sampler.steps={steps}"
    )


def _fits(one: Candidate, case: Case, tau: float) -> bool:
    own = one.config.get("method.threshold")
    enough = own is None or own <= tau
    unlike = differences(one.config, flat(case.options), SAME)
    return enough and all(line.startswith(OWN_THRESHOLD) for line in unlike)
