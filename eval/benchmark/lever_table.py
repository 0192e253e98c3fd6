"""Lever by lever: what was predicted, what was measured, and whether it stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from eval.benchmark.figures import Figure, find, shown
from eval.benchmark.variants import Lever, levers
from eval.page import table_lines

HEAD = ["lever", "predicted", "gain alone", "gain together", "stays"]
RULE = (
    "Gains are of the time of a clip and step. Alone: against no lever at all; together: against all others. A lever "
    "pays where its gain together is above 1 by more than its quartiles are apart."
)


def lever_lines(frame: pd.DataFrame, options: Mapping[str, Any]) -> list[str]:
    """The table of one model's levers, with the rule under it."""
    rows = []
    for lever in levers(options):
        gains = (shown(frame, metric, lever.name) for metric in ("gain_alone", "gain_together"))
        rows.append([lever.name.replace("_", " "), lever.prediction, *gains, verdict(lever, _together(frame, lever))])
    return [*table_lines(HEAD, rows), "", RULE]


def verdict(lever: Lever, gain: Figure | None) -> str:
    """What the repository does, and whether this measurement says so."""
    default = "kept" if lever.kept else "off"
    if gain is None:
        said = "not measured here"
    elif len(gain.rounds) < 2:
        said = "one round does not tell"
    elif gain.pays:
        said = "pays"
    else:
        said = "slower here" if gain.costs else "within the spread"
    return f"{default}: {said}" + (f"; {lever.why}" if lever.why else "")


def _together(frame: pd.DataFrame, lever: Lever) -> Figure | None:
    return find(frame, "gain_together", lever.name)
