"""The rows as a table with where, when and of what they were measured: <results>/<date>-<device>.csv."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from eval.benchmark.measure import Measured, Results
from eval.benchmark.rows import lever_rows, rate_rows, variant_rows
from eval.benchmark.variants import Lever
from eval.sets import Row

VARIANT = ("model", "variant", "method", "sampler_steps", "batch_size", "precision", "memory")
FIGURE = ("metric", "value", "low", "high", "n", "rounds", "note")
WHERE = ("device", "threads", "torch", "commit", "weights", "load", "busy", "began")
COLUMNS = (*VARIANT, *FIGURE, *WHERE)
DEVICE = "device"  # the model of rows that are of the machine alone


def table(results: Results, levers: Iterable[Lever], where: Mapping[str, Any]) -> pd.DataFrame:
    """A row for each figure of each name of each variant, of each lever and of the device."""
    rows: list[Row] = [
        {"model": DEVICE, "variant": "matmul", "precision": dtype, **figures}
        for dtype, figures in rate_rows(results.rates)
    ]
    for one in results.measured:
        rows += [{**about, **figures} for about in _about(one) for figures in variant_rows(one, results)]
    for model in dict.fromkeys(one.variant.model_name for one in results.measured):
        mine = [one for one in results.measured if one.variant.model_name == model]
        rows += [{"model": model, "variant": name, **figures} for name, figures in lever_rows(levers, mine)]
        weights = next((one.variant.model.weights_hash for one in mine if not one.failed), "")
        rows = [{"weights": weights, **one} if one["model"] == model else one for one in rows]
    frame = pd.DataFrame([{"rounds": "", "note": "", **one, **where} for one in rows], columns=list(COLUMNS))
    return frame.astype({"low": float, "high": float})


def read(path: Path) -> pd.DataFrame:
    """A table that was written."""
    return pd.read_csv(path, dtype={"rounds": "str", "note": "str"}).fillna({"rounds": "", "note": ""})


def _about(one: Measured) -> list[Row]:
    variant = one.variant
    dtype = "" if one.failed else str(variant.model.dtype).removeprefix("torch.")
    shared = {"model": variant.model_name, "method": variant.method, "sampler_steps": variant.sampler_steps}
    shared |= {"batch_size": variant.batch_size, "precision": dtype, "memory": variant.policy}
    return [{**shared, "variant": name} for name in variant.names]
