"""Figures read from the table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from eval.page import figure


@dataclass(frozen=True)
class Figure:
    """A median with its quartiles, and the value of each round."""

    value: float
    low: float = float("nan")
    high: float = float("nan")
    rounds: tuple[float, ...] = ()

    def __str__(self) -> str:
        return figure(self.value, self.low, self.high)

    @property
    def pays(self) -> bool:
        """Of a gain: more than 1 by more than the quartiles are apart. One round has no spread to tell by."""
        return len(self.rounds) > 1 and self.value - 1 > self.high - self.low

    @property
    def costs(self) -> bool:
        """Of a gain: less than 1 by more than the quartiles are apart."""
        return len(self.rounds) > 1 and 1 - self.value > self.high - self.low


def find(frame: pd.DataFrame, metric: str, variant: str) -> Figure | None:
    """Of the rows of one model."""
    chosen = frame[(frame["metric"] == metric) & (frame["variant"] == variant)]
    if not len(chosen):
        return None
    one = chosen.iloc[0]
    value, low, high = (float(one[name]) for name in ("value", "low", "high"))
    return Figure(value, low, high, tuple(map(float, one["rounds"].split())))


def ratio(over: Figure | None, under: Figure | None) -> Figure | None:
    """Round by round, then median and quartiles."""
    if over is None or under is None:
        return None
    n = min(len(over.rounds), len(under.rounds))
    low, middle, high = np.quantile(np.array(over.rounds[:n]) / np.array(under.rounds[:n]), [0.25, 0.5, 0.75])
    return Figure(float(middle), float(low), float(high))


def shown(frame: pd.DataFrame, metric: str, variant: str) -> str:
    """For a cell: the value and its quartiles; empty where it was not measured."""
    found = find(frame, metric, variant)
    return "" if found is None else str(found)
