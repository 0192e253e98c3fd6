"""What ratings of triplets add up to: one method against each other one, as in table 4 of DITTO (arXiv 2401.12179).

For a rating of a triplet (one listener, one triplet), d = score(tested) − score(other), in points of the 0-100 scale:

  wins_percent         100 · mean of [d > 0] + ½ [d = 0]
  average_difference   mean of d

Standard errors are for ratings that share a listener or a triplet (Cameron, Gelbach and Miller 2011): V = V_listener +
V_triplet − V_both with V_c = G/(G−1) · Σ_g (Σ_{i∈g} e_i)² / n² over the G groups of c, e = value − mean; V is at least
each of the first two. One listener gives s²/n.

Intervals: 95 % percentiles of a bootstrap that draws listeners and triplets, each with replacement (Owen 2007). An
interval without width means that all ratings agree, not that there is no doubt: look at n.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

Row = dict[str, object]


def rows(scores: pd.DataFrame, tested: str, draws: int, seed: int) -> Iterator[Row]:
    """Rows of results/listening.csv from scores (columns rater, triplet, task, method, score)."""
    for (task, other), found in differences(scores, tested).groupby(["task", "other"], sort=True):
        d = found["difference"].to_numpy(float)
        about = {"task": task, "method": f"{tested} vs {other}"}
        counts = {"n": len(d), "raters": found["rater"].nunique(), "triplets": found["triplet"].nunique()}
        clusters = (found["rater"], found["triplet"])
        weights = bootstrap_weights(*clusters, draws, seed)
        for metric, values in (("wins_percent", 100 * won(d)), ("average_difference", d)):
            low, high = interval(values, weights)
            error = standard_error(values, *clusters)
            figures = {"value": float(values.mean()), "low": low, "high": high, "standard_error": error}
            yield {**about, "metric": metric, **figures, **counts}


def differences(scores: pd.DataFrame, tested: str) -> pd.DataFrame:
    """One row per rated triplet and other method: rater, triplet, task, other, difference (points)."""
    own = scores[scores["method"] == tested].drop(columns="method").rename(columns={"score": "own"})
    others = scores[scores["method"] != tested].rename(columns={"method": "other"})
    both = others.merge(own, on=["rater", "triplet", "task"], validate="many_to_one")
    return both.assign(difference=both["own"] - both["score"])[["rater", "triplet", "task", "other", "difference"]]


def won(d: np.ndarray) -> np.ndarray:
    """1 for a win, ½ for a tie, 0 for a loss."""
    return (np.sign(d) + 1) / 2


def standard_error(values: np.ndarray, raters: pd.Series, triplets: pd.Series) -> float:
    """Of the mean of values [n], in their unit; NaN for a single rating."""
    if len(values) < 2:
        return math.nan
    groups = [list(raters), list(triplets)]
    each = [_clustered(values, one) for one in groups if len(set(one)) > 1]
    if len(each) < 2:
        return math.sqrt(each[0])
    both = _clustered(values, list(zip(*groups, strict=True)))
    return math.sqrt(max(*each, sum(each) - both))


def _clustered(values: np.ndarray, groups: list) -> float:
    """Variance of the mean of the values where ratings of one group may depend on each other."""
    sums = pd.Series(values - values.mean()).groupby(pd.factorize(pd.Series(groups))[0]).sum()
    return float(len(sums) / (len(sums) - 1) * np.square(sums).sum() / len(values) ** 2)


def bootstrap_weights(raters: pd.Series, triplets: pd.Series, draws: int, seed: int) -> np.ndarray:
    """How often each rating is in each resample, [draws, n]: listeners and triplets are drawn independently."""
    generator = np.random.default_rng(seed)
    weights = np.ones((draws, len(raters)))
    for groups in (raters, triplets):
        codes = pd.factorize(groups)[0]
        size = codes.max() + 1
        if size > 1:
            weights *= generator.multinomial(size, np.full(size, 1 / size), size=draws)[:, codes]
    return weights[weights.sum(1) > 0]  # empty resamples: a rater without any of the triplets


def interval(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval of the mean; NaN for a single rating."""
    if len(values) < 2:
        return math.nan, math.nan
    low, high = np.quantile(weights @ values / weights.sum(1), [0.025, 0.975])
    return float(low), float(high)
