"""Optimisation steps to a threshold of the loss, from the history of a run with all its K steps (DITTO: MS2C).

Counted as `eval.efficiency` counts: k where the loss after k steps is the first at or under τ. The mean is over the
clips that reach it; those that never do are named, and part of no mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ditto.run_directory import read_json
from eval.efficiency.thresholds import steps_to
from eval.sets import Row as Line
from eval.sets import mean_row
from eval.tables.base import Found, Lacking, Needs


@dataclass(frozen=True)
class StepsToThreshold:
    """Mean number of steps until the loss is at or under `tau` (intensity: 2 dB²)."""

    tau: float
    needs: Needs = "run"

    def __call__(self, found: Found) -> Line | Lacking:
        histories = read_json(found.run.path / "history.json") or {}
        losses = {clip: histories.get(clip, {}).get("loss") or [] for clip in found.run.clips["clip"]}
        if not any(losses.values()):
            return Lacking(f"{found.cell.method} optimises nothing")
        steps = {clip: steps_to(of_clip, self.tau) for clip, of_clip in losses.items()}
        never = [clip for clip, count in steps.items() if math.isinf(count)]
        reached = [count for count in steps.values() if math.isfinite(count)]
        if not reached:
            return Lacking(f"no clip of {found.cell.method} reaches a loss of {self.tau:g}: {', '.join(never)}")
        line = mean_row("steps_to_threshold", reached)
        missed = f"{len(never)} of {len(steps)} clips of {found.cell.method} never reach a loss of {self.tau:g}"
        return {**line, "note": f"{missed}: {', '.join(never)}"} if never else line
