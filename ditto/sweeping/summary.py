"""The table that a sweep ends with: every run where they are few, what went wrong where they are many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from ditto.outcome import Outcome
from ditto.run_directory import read_json

FEW = 40
_FINE = ("done", "skipped", "undefined")


def summary(outcomes: Sequence[Outcome]) -> str:
    """Runs as rows with their mean metric beside text-only's, reasons below, and how many ended how."""
    shown = [one for one in outcomes if len(outcomes) <= FEW or one.status not in _FINE]
    lines = [pd.DataFrame([_row(one) for one in shown]).to_string(index=False, na_rep="-")] if shown else []
    why = [f"  {one.run_id or '?'} ({one.status}): {one.reason}" for one in outcomes if one.status not in _FINE]
    counts = Counter(one.status for one in outcomes)
    total = ", ".join(f"{counts[kind]} {kind}" for kind in sorted(counts))
    return "\n".join([*lines, *why, f"{len(outcomes)} runs: {total}"])


def _row(outcome: Outcome) -> dict[str, str]:
    status = read_json(outcome.path / "status.json") or {}
    names, metric = status.get("names", {}), status.get("metric", "")
    clips = [clip for clip in (read_json(outcome.path / "metrics.json") or {}).values() if "failed" not in clip]
    about = {name: names.get(name, "-") for name in ("task", "method", "model")}
    means = {"mean": _mean(clips, metric), "text_only": _mean(clips, f"{metric}_text_only")}
    return {"run": outcome.run_id or "-", "status": outcome.status, **about, "metric": metric or "-", **means}


def _mean(clips: list[dict], name: str) -> str:
    values = [clip[name] for clip in clips if clip.get(name) is not None]
    return f"{sum(values) / len(values):.4g}" if values else "-"
