"""Does a shared x_T make clips more alike? Variance within groups of clips, shared noise against free (figure 10).

Both runs have the same prompts in the same groups of B, so groups are paired: for each feature the sum over its values
of the variance within a group (divisor B − 1). Statistic: its mean over the groups with shared noise over that of the
free ones, with the 95 % bootstrap interval over pairs of groups, and Wilcoxon's signed-rank test of the paired
variances (two-sided), adjusted for all features by Holm's method.

Legend: G groups, B clips of a group, D values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ditto.types import UserError
from eval.sets import Row


@dataclass(frozen=True)
class Ratio:
    """Variance within groups that share their noise, over that of groups that don't."""

    value: float
    low: float
    high: float
    p: float  # of the paired test, unadjusted
    groups: int


def within(values_GBD: np.ndarray) -> np.ndarray:
    """Variance within each group, summed over the values, [G, B, D] -> [G]."""
    return values_GBD.astype(np.float64).var(axis=1, ddof=1).sum(-1)


def compare(shared_G: np.ndarray, free_G: np.ndarray, draws: int = 2000, seed: int = 0) -> Ratio:
    """Paired groups' variances -> their ratio with interval and test."""
    if len(shared_G) != len(free_G) or len(shared_G) < 6:
        raise UserError(f"{len(shared_G)} and {len(free_G)} groups: the paired test needs 6 or more of each")
    if not (np.isfinite(shared_G).all() and np.isfinite(free_G).all() and (free_G > 0).all()):
        raise UserError("the clips of a group are all the same, or not finite: nothing to compare")
    picks = np.random.default_rng(seed).integers(len(free_G), size=(draws, len(free_G)))
    low, high = np.quantile(shared_G[picks].mean(1) / free_G[picks].mean(1), [0.025, 0.975])
    differences = shared_G - free_G
    p = float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0
    return Ratio(float(shared_G.mean() / free_G.mean()), float(low), float(high), p, len(free_G))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values of several tests (Holm 1979)."""
    names = sorted(p, key=lambda name: p[name])
    scaled = np.maximum.accumulate([p[name] * (len(names) - k) for k, name in enumerate(names)])
    return {name: float(min(value, 1.0)) for name, value in zip(names, scaled, strict=True)}


def table(ratios: Mapping[str, Ratio]) -> list[Row]:
    """One row a feature, the most shared first."""
    adjusted = holm({name: one.p for name, one in ratios.items()})
    rows = [
        {"feature": name, "ratio": one.value, "low": one.low, "high": one.high, "p": one.p, "p_holm": adjusted[name],
         "groups": one.groups}
        for name, one in ratios.items()
    ]  # fmt: skip
    return sorted(rows, key=lambda line: float(str(line["ratio"])))
