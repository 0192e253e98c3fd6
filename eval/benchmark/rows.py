"""From measurements to rows: medians with quartiles over rounds, ratios formed in each round."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from ditto.memory import GIB
from eval.benchmark.measure import Measured, Results
from eval.benchmark.variants import NONE, REFERENCE, Lever
from eval.efficiency.rows import spread
from eval.sets import Row, row

GIGA = 1e9


def variant_rows(one: Measured, results: Results) -> list[Row]:
    """Every figure of one variant that is known so far; of one that failed, why."""
    if one.failed:
        return [{**row("failed", float("nan"), 0), "rounds": "", "note": one.failed}]
    return [*_watched_rows(one), *_time_rows(one, results), *_bare_rows(one)]


def lever_rows(levers: Iterable[Lever], measured: Sequence[Measured]) -> list[tuple[str, Row]]:
    """(lever, row) of the gains of the levers whose variants are there; the variants of one model."""
    found = []
    for lever in levers:
        for metric, names in {"gain_alone": (NONE, lever.only), "gain_together": lever.together}.items():
            slow, fast = (named(measured, name) for name in names)
            if slow and fast and slow.steps and fast.steps and slow is not fast:
                found.append((lever.name, ratios(metric, slow.per_clip, fast.per_clip)))
    return found


def rate_rows(rates: dict[torch.dtype, list[float]]) -> list[tuple[str, Row]]:
    """(dtype, row) of the device's matrix products."""
    return [
        (str(dtype).removeprefix("torch."), several("matmul_gflops", (x / GIGA for x in values)))
        for dtype, values in rates.items()
    ]


def named(measured: Iterable[Measured], name: str) -> Measured | None:
    """The variant of this name, if it works."""
    return next((one for one in measured if name in one.variant.names and not one.failed), None)


def several(metric: str, values: Iterable[float]) -> Row:
    """Median and quartiles, and the values themselves."""
    kept = list(values)
    return {**spread(metric, kept), "rounds": " ".join(f"{value:.4g}" for value in kept)}


def ratios(metric: str, over: Sequence[float], under: Sequence[float]) -> Row:
    """Round by round; an interrupted round is left out."""
    return several(metric, (a / b for a, b in zip(over, under, strict=False)))


def _watched_rows(one: Measured) -> list[Row]:
    seen, operated = one.seen, one.operated
    if seen is None or operated is None:
        return []
    figures = {
        "calls_forward": len(seen.forward),
        "calls_recomputed": seen.recomputed,
        "gflop_per_step": operated.step(seen) / GIGA,
        "peak_gib": seen.peak / GIB,
        "saved_gib": seen.saved / GIB,
    }
    return [row(metric, value, 1) for metric, value in figures.items()]


def _time_rows(one: Measured, results: Results) -> list[Row]:
    if not one.steps or one.seen is None or one.operated is None:
        return []
    variant = one.variant
    full, operations = variant.options["task"]["steps"], one.operated.step(one.seen)
    rates = [operations / seconds for seconds in one.steps]
    rows = [
        several("seconds_per_step", one.steps),
        several("seconds_per_clip_step", one.per_clip),
        several("clips_per_hour", (3600 / (full * seconds) for seconds in one.per_clip)),
        several("gflops", (rate / GIGA for rate in rates)),
        ratios("matmul_share", rates, results.rates[variant.model.dtype]),
    ]
    same = [other for other in results.measured if other.variant.model_name == variant.model_name]
    reference = named(same, REFERENCE)
    if reference and reference is not one and reference.steps:
        rows.append(ratios("speedup", reference.per_clip, one.per_clip))
    return rows


def _bare_rows(one: Measured) -> list[Row]:
    seen = one.seen
    if not one.bare or seen is None:
        return []
    parts = ("forward", "forward_grad", "backward", "wave", "wave_backward")
    rows = [several(f"seconds_{part}", (getattr(bare, part) for bare in one.bare)) for part in parts]
    whole = [bare.step(seen) for bare in one.bare]
    return [*rows, several("seconds_bare", whole), ratios("overhead", one.steps, whole)]
