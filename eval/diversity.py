"""How varied a set of clips is: distances within the set, and its Vendi score.

Every clip is a point: the mean of its musicnn embeddings, standardised by the training clips (`Space`).
pair_distance: mean Euclidean distance of two clips, divided by sqrt(2 D): 1 for points that are as spread out as the
    training clips, each value on its own; 0 when all clips are the same.
pair_distance_same_prompt: the same over pairs of clips that have one prompt (real clips: windows of one piece).
vendi: exp of the entropy of the eigenvalues of K / n, where K is the cosine of each pair: how many clearly different
    clips the set is worth, 1 to n (Friedman and Dieng, "The Vendi Score", TMLR 2023). It grows with n: compare equal n.

Intervals of pair_distance: from the spread of each clip's mean distance to the others (Hoeffding 1948, U-statistics).

Legend: n clips, W windows, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist, pdist, squareform

from ditto.types import UserError
from eval.fad import Clips
from eval.sets import Row, row


@dataclass(frozen=True)
class Space:
    """Mean and spread [D] of the training clips' mean embeddings; what every distance is measured in."""

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, clips: Clips) -> Space:
        means = _means(clips)
        spread = means.std(0)
        # A unit that hardly any training clip moves must not outweigh all others where another clip moves it.
        return cls(means.mean(0), spread.clip(min=max(0.1 * float(np.median(spread)), 1e-6)))

    def __call__(self, clips: Clips) -> np.ndarray:
        """Clips [W, D] -> points [n, D], in units in which two training clips are about 1 apart."""
        points = (_means(clips) - self.mean) / self.spread
        return points / np.sqrt(2 * points.shape[1])


def _means(clips: Clips) -> np.ndarray:
    if not len(clips):
        raise UserError("no clips: distances need at least one")
    return np.stack([np.mean(clip, 0, dtype=np.float64) for clip in clips])


def diversity_rows(points_nD: np.ndarray, prompts: Sequence[str]) -> list[Row]:
    """All rows of a set of two or more clips; the same-prompt row only where a prompt has two."""
    n = len(points_nD)
    if n < 2:
        return []
    distances = squareform(pdist(points_nD))
    each = distances.sum(1) / (n - 1)
    value, margin = float(each.mean()), float(1.96 * 2 * each.std(ddof=1) / np.sqrt(n))
    rows = [row("pair_distance", value, n, max(value - margin, 0.0), value + margin)]
    rows.append(row("vendi", vendi(points_nD), n))
    same = same_prompt_distances(distances, prompts)
    if len(same):
        rows.append(row("pair_distance_same_prompt", float(same.mean()), len(same)))
    return rows


def vendi(points_nD: np.ndarray) -> float:
    """The Vendi score of the cosine kernel; a point at the origin has no direction and is refused."""
    lengths = np.linalg.norm(points_nD, axis=1, keepdims=True)
    if (lengths == 0).any():
        raise UserError("a clip lies exactly on the training clips' mean: it has no direction")
    values = np.linalg.svd(points_nD / lengths, compute_uv=False) ** 2 / len(points_nD)
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def same_prompt_distances(distances_nn: np.ndarray, prompts: Sequence[str]) -> np.ndarray:
    """Mean distance of the pairs of each prompt that has two clips or more [m]."""
    names = np.asarray(prompts)
    places = [np.flatnonzero(names == prompt) for prompt in sorted(set(prompts))]
    groups = [distances_nn[np.ix_(rows, rows)] for rows in places if len(rows) > 1]
    return np.array([group.sum() / (len(group) * (len(group) - 1)) for group in groups])


def nearest(points_nD: np.ndarray, others_mD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest of the others [n], and which it is [n]."""
    distances = cdist(points_nD, others_mD)
    return distances.min(1), distances.argmin(1)
