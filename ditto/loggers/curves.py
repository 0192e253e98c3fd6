"""Curves of a run while it is made, and the same rows again from its history.

    optimisation/loss, metric, gradient_norm, seconds   means over the batch, against optimisation/step: the steps that
                                                        the run has made, counted on from batch to batch
    clip_loss/<clip>, clip_metric/<clip>                of the first few clips, against clip/step: the clip's own

A resumed run makes some steps again: those that W&B has (`ditto.loggers.logged`) are not logged twice. W&B's own step
cannot serve as axis: it goes on with every row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ditto.loggers.logged import Logged
from ditto.run_directory import read_json

FIGURES = ("loss", "metric", "gradient_norm", "seconds")
CLIP_FIGURES = ("loss", "metric")


class Curves:
    """Turns the optimisation's rows into W&B's; `clips` of them have curves of their own."""

    def __init__(self, clips: int, logged: Logged) -> None:
        self.clips = clips
        self.logged = logged
        self._rewind()

    def row(self, row: Mapping[str, Any]) -> dict[str, float] | None:
        """One row for W&B, noted as logged; None where its step was logged before."""
        batch, step = row["clips"][0], self._continued(row)
        if step < self.logged.count(batch) or self.logged.everything:
            return None
        chosen = self.logged.chosen
        chosen += [clip for clip in row["clips"] if clip not in chosen][: self.clips - len(chosen)]
        self.logged.add(batch)
        values: dict[str, float] = {"optimisation/step": self.logged.before(batch) + step}
        values |= {f"optimisation/{name}": mean(row[name]) for name in FIGURES if row.get(name) is not None}
        own = self._own(row)
        return values | ({"clip/step": step, **own} if own else {})

    def rest(self, path: Path) -> Iterator[dict[str, float]]:
        """What a finished run's history holds and was not logged."""
        self._rewind()
        return (values for row in replay(path) if (values := self.row(row)))

    def _rewind(self) -> None:
        self._batch: list[str] = []
        self._done, self._step = 0, -1

    def _continued(self, row: Mapping[str, Any]) -> int:
        """The row's step, counted on where a batch begins again: its next round (controls that lengthen a clip)."""
        if row["clips"] != self._batch:
            self._batch, self._done, self._step = row["clips"], 0, -1
        if row["step"] <= self._step:
            self._done += self._step + 1
        self._step = int(row["step"])
        return self._done + self._step

    def _own(self, row: Mapping[str, Any]) -> dict[str, float]:
        """Curves of the chosen clips that are in this batch."""
        places = [(k, clip) for k, clip in enumerate(row["clips"]) if clip in self.logged.chosen]
        names = [name for name in CLIP_FIGURES if row.get(name) is not None]
        return {f"clip_{name}/{clip}": row[name][k] for k, clip in places for name in names}


def mean(values: float | Sequence[float]) -> float:
    """Over the finite ones of a batch; NaN where there is none."""
    if isinstance(values, int | float):
        return float(values)
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def replay(path: Path) -> Iterator[dict[str, Any]]:
    """The optimisation's rows of a finished run, batch by batch, from its history.json and metrics.json."""
    history, metrics = read_json(path / "history.json") or {}, read_json(path / "metrics.json") or {}
    waiting = list(history)
    while waiting:
        size = max(1, int(metrics.get(waiting[0], {}).get("batch_size", 1)))
        batch, waiting = waiting[:size], waiting[size:]
        for step in range(max(len(history[clip].get("loss", [])) for clip in batch)):
            going = [clip for clip in batch if step < len(history[clip].get("loss", []))]
            yield {"clips": batch, "step": step, **_figures(history, batch, going, step)}


def _figures(history: Mapping[str, Any], batch: list[str], going: list[str], step: int) -> dict[str, Any]:
    """[B] of each figure, NaN where a clip had stopped by then."""
    row: dict[str, Any] = {}
    for name in (name for name in FIGURES if step < len(history[going[0]].get(name) or [])):
        values = [history[clip][name][step] if clip in going else math.nan for clip in batch]
        row[name] = next(v for v in values if math.isfinite(v)) if name == "seconds" else values
    return row
