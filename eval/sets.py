"""Figures of a set of clips: FAD against a reference and the tag metrics, each with its n and interval.

A row: metric, value, low, high (95 % bootstrap over clips; empty where none), n (clips).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np

from ditto.types import UserError
from eval import tags
from eval.fad import Clips, FadError, bootstrap_fad, fad_infinity, warn_if_small
from eval.references import Reference

Row = dict[str, object]


def row(metric: str, value: float, n: int, low: float | None = None, high: float | None = None) -> Row:
    return {"metric": metric, "value": value, "low": low, "high": high, "n": n}


def mean_row(metric: str, values: Sequence[float] | np.ndarray, draws: int = 2000, seed: int = 0) -> Row:
    """Mean over clips with its percentile bootstrap interval (none for a single clip)."""
    x = np.asarray(values, dtype=float)
    if not len(x) or not np.isfinite(x).all():
        raise UserError(f"{metric}: {len(x)} values, all of which must be finite")
    if len(x) == 1:
        return row(metric, float(x[0]), 1)
    picks = np.random.default_rng(seed).integers(len(x), size=(draws, len(x)))
    low, high = np.quantile(x[picks].mean(1), [0.025, 0.975])
    return row(metric, float(x.mean()), len(x), float(low), float(high))


def fad_rows(clips: Clips, reference: Reference, draws: int = 200) -> list[Row]:
    """`fad` with its interval, and `fad_infinity` where n allows."""
    statistics = reference.statistics
    interval = bootstrap_fad(clips, statistics, draws)
    warn_if_small(clips, statistics, interval.value)
    rows = [row("fad", interval.value, len(clips), interval.low, interval.high)]
    with contextlib.suppress(FadError):  # too few clips to extrapolate from: no row rather than a wrong one
        rows.append(row("fad_infinity", fad_infinity(clips, statistics), len(clips)))
    return rows


def tag_rows(clips: Clips, genres: Sequence[str], judge: tags.GenreJudge | None = None, seed: int = 0) -> list[Row]:
    """tag_score, tag_accuracy and tag_cosine with the clips' own genres and with the genres shuffled among clips."""
    judge = judge or tags.load()
    shuffled = np.random.default_rng(seed).permutation(np.asarray(genres)).tolist()
    rows = []
    for suffix, names in (("", list(genres)), ("_shuffled", shuffled)):
        rows.append(mean_row(f"tag_score{suffix}", judge.tag_score(clips, names)))
        rows.append(mean_row(f"tag_accuracy{suffix}", judge.tag_hits(clips, names)))
        rows.append(mean_row(f"tag_cosine{suffix}", judge.tag_cosine(clips, names)))
    return rows
