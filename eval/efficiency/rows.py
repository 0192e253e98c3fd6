"""From passes to rows: medians with quartiles over rounds, memory, calls, and what follows from steps to τ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from eval.efficiency.cases import Case
from eval.efficiency.passes import Observed, Timed
from eval.efficiency.thresholds import Reached
from eval.sets import Row, row

GIB = 2**30


def case_rows(case: Case, seen: Observed, timed: Sequence[Timed], found: Reached | None) -> list[Row]:
    """Every figure of one case that is known so far."""
    rows = [*_observed_rows(case, seen), *_time_rows(case, timed)]
    known = {str(one["metric"]): float(one["value"]) for one in rows}  # type: ignore[arg-type]
    if case.full_steps is not None:
        rows += _full_rows(case.full_steps, seen, known, len(timed))
        rows += _threshold_rows(found, known) if found else []
    return rows


def spread(metric: str, values: Iterable[float]) -> Row:
    """Median and quartiles."""
    x = np.asarray(list(values), dtype=float)
    low, middle, high = np.quantile(x, [0.25, 0.5, 0.75])
    return row(metric, float(middle), len(x), float(low), float(high))


def _observed_rows(case: Case, seen: Observed) -> list[Row]:
    per = "clip" if case.full_steps is None else "step"
    rows = [row(f"calls_per_{per}", seen.calls, 1), row(f"evaluations_per_{per}", seen.evaluations, 1)]
    memory = {"peak_gib": seen.peak, "mean_gib": seen.mean, "latent_gib": seen.latent}
    rows += [row(metric, size / GIB, 1) for metric, size in memory.items()]
    return [*rows, row("saved_gib", seen.saved / GIB, 1)] if seen.saved is not None else rows


def _time_rows(case: Case, timed: Sequence[Timed]) -> list[Row]:
    if not timed:
        return []
    if case.full_steps is None:
        return [spread("seconds_per_clip", (one.seconds / case.batch_size for one in timed))]
    return [
        spread("seconds_per_step", (float(np.median(one.steps)) for one in timed)),
        spread("seconds_outside", (one.seconds - sum(one.steps) for one in timed)),
    ]


def _full_rows(steps: int, seen: Observed, known: dict[str, float], n: int) -> list[Row]:
    rows = [row("calls_full", steps * seen.calls + seen.calls_outside, 1)]
    if "seconds_per_step" in known:
        rows.append(row("seconds_full", steps * known["seconds_per_step"] + known["seconds_outside"], n))
    return rows


def _threshold_rows(found: Reached, known: dict[str, float]) -> list[Row]:
    """A mean over the clips that reached τ, beside how many did not: of all clips only where those are none."""
    there = found.steps[np.isfinite(found.steps)]
    clips = len(found.steps)
    rows = [row("never_reached", clips - len(there), clips), row("failed", found.failed, clips + found.failed)]
    if len(there):
        low, high = np.quantile(there, [0.25, 0.75])
        mean, n = float(there.mean()), len(there)
        rows.append(row("steps_to_threshold", mean, n, float(low), float(high)))
        rows.append(row("calls_to_threshold", mean * known["calls_per_step"], n))
        seconds = mean * known.get("seconds_per_step", math.nan)
        rows += [row("seconds_to_threshold", seconds, n)] if math.isfinite(seconds) else []
    return [{**one, "run": found.run} for one in rows]
