"""Fréchet audio distance (FAD) between two sets of embeddings, always with its n.

Paper: Kilgour et al., "Fréchet Audio Distance", Interspeech 2019; FAD∞: Gui et al., "Adapting Fréchet Audio Distance
for generative music evaluation", ICASSP 2024 (after Chong and Forsyth, CVPR 2020).

    FAD = |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁^½ Σ₂ Σ₁^½)^½        (unit: embedding units squared)

Conventions: float64; Σ has the divisor n − 1. With factors Σ = FᵀF the last trace is the sum of the singular values of
F₁F₂ᵀ, which is real and not negative whatever the rounding: no complex square root, no error turned into a number.
A set is a list of clips [W, D]: all windows of all clips are pooled, but resampling (FAD∞, bootstrap) draws whole
clips, as windows of one clip are not independent. FAD falls as n grows (bias of order 1/n, `small_set_bias`): compare
equal n only.

Legend: W windows of a clip, D embedding dimensions.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ditto.types import UserError

Clips = Sequence[np.ndarray]


class FadError(UserError):
    """Input from which no FAD can be computed; the message says what to do."""


class SmallSetWarning(UserWarning):
    """A FAD that says more about the number of clips than about the clips."""


@dataclass
class Statistics:
    """Mean and covariance of samples seen so far; updated in chunks (Chan et al. 1983), so any number of files fits."""

    dimension: int
    n: int = 0
    mean: np.ndarray = field(init=False)
    scatter: np.ndarray = field(init=False)
    _factor: np.ndarray | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.mean = np.zeros(self.dimension)
        self.scatter = np.zeros((self.dimension, self.dimension))

    @classmethod
    def given(cls, mean: np.ndarray, covariance: np.ndarray, n: int) -> Statistics:
        """From a mean [D] and a covariance [D, D] (divisor n − 1) that somebody else took of n samples."""
        mean, covariance = np.asarray(mean, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)) or n < 2:
            raise FadError(f"no statistics: mean {mean.shape}, covariance {covariance.shape} of {n} samples")
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all() and np.allclose(covariance, covariance.T)):
            raise FadError("a mean or covariance holds NaN or infinite values, or is not symmetric")
        result = cls(len(mean), n)
        result.mean, result.scatter = mean, covariance * (n - 1)
        return result

    def update(self, samples: np.ndarray) -> Statistics:
        """Add samples [n, D]."""
        x = np.asarray(samples, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self.dimension:
            raise FadError(f"embeddings of shape {x.shape} do not fit statistics of dimension {self.dimension}")
        if not np.isfinite(x).all():
            raise FadError("embeddings hold NaN or infinite values: find the clip and drop or mend it")
        if not len(x):
            return self
        mean, total = x.mean(0), self.n + len(x)
        centred, shift = x - mean, mean - self.mean
        self.scatter += centred.T @ centred + np.outer(shift, shift) * (self.n * len(x) / total)
        self.mean += shift * (len(x) / total)
        self.n, self._factor = total, None
        return self

    @property
    def covariance(self) -> np.ndarray:
        return self.scatter / (self.n - 1)

    def factor(self) -> np.ndarray:
        """F [D, D] with FᵀF = covariance; kept, as a reference is met by many sets."""
        if self._factor is None:
            values, vectors = np.linalg.eigh(self.covariance)
            self._factor = np.sqrt(values.clip(min=0))[:, None] * vectors.T
        return self._factor

    @classmethod
    def of(cls, clips: Iterable[np.ndarray]) -> Statistics:
        """Statistics of all windows of the clips, a thousand clips at a time."""
        result: Statistics | None = None
        stream = iter(clips)
        while chunk := list(itertools.islice(stream, 1000)):
            result = result or cls(np.shape(chunk[0])[-1])
            if any(np.shape(clip)[1:] != (result.dimension,) for clip in chunk):
                raise FadError(f"some embeddings do not fit the first clip's dimension, {result.dimension}")
            result.update(np.concatenate(chunk))
        if result is None:
            raise FadError("no clips: FAD needs at least one set of embeddings on each side")
        return result


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """FAD of two sets; raises unless both hold more samples than dimensions (else a covariance is singular)."""
    if a.dimension != b.dimension:
        raise FadError(f"the sets have different dimensions, {a.dimension} and {b.dimension}: use one embedding")
    for one in (a, b):
        if one.n <= one.dimension:
            raise FadError(
                f"FAD in {one.dimension} dimensions needs more than {one.dimension} samples, got {one.n}: "
                "make more clips, or project to fewer dimensions first (eval.fad.Projection)"
            )
    overlap = np.linalg.svd(a.factor() @ b.factor().T, compute_uv=False).sum()
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    return float(max(np.square(a.mean - b.mean).sum() + traces - 2 * overlap, 0.0))


def fad(clips: Clips, reference: Statistics) -> float:
    """FAD of the pooled windows of `clips` against the reference."""
    return frechet_distance(Statistics.of(clips), reference)


def small_set_bias(statistics: Statistics, n: int) -> float:
    """FAD that n independent samples of these statistics' own normal distribution have to it on average, to order 1/n.

    tr Σ / n from the mean, and Σᵢⱼ (1 + δᵢⱼ) λᵢ λⱼ / (2 n (λᵢ + λⱼ)) from the covariance: the second-order term of the
    trace above for the sampling error of a covariance with eigenvalues λ. Windows of one clip are not independent, so a
    set of n windows has at least this.
    """
    values = np.linalg.eigvalsh(statistics.covariance).clip(min=0)
    values = values[values > 1e-12 * values.max(initial=0)]
    pairs = np.outer(values, values) / (values[:, None] + values)
    return float((values.sum() + (pairs.sum() + np.trace(pairs)) / 2) / n)


def warn_if_small(clips: Clips, reference: Statistics, value: float) -> None:
    """Warn where a quarter or more of a FAD is what so few windows of the reference itself would have."""
    windows = sum(len(clip) for clip in clips)
    if small_set_bias(reference, windows) >= 0.25 * value:
        warnings.warn(
            f"FAD of {windows} windows in {reference.dimension} dimensions: a quarter of it or more comes from their "
            "small number alone; compare sets of this size only, or take more clips",
            SmallSetWarning,
            stacklevel=2,
        )


@dataclass(frozen=True)
class Projection:
    """The leading principal components of a reference set, for sets too small for a full covariance."""

    mean: np.ndarray  # [D]
    axes: np.ndarray  # [D, k]
    explained: float  # share of the reference's variance kept

    @classmethod
    def fit(cls, reference: Statistics, components: int) -> Projection:
        values, vectors = np.linalg.eigh(reference.covariance)
        return cls(reference.mean, vectors[:, -components:], float(values[-components:].sum() / values.sum()))

    def statistics(self, full: Statistics) -> Statistics:
        """Those of the projected samples, from those of the samples."""
        mean = (full.mean - self.mean) @ self.axes
        return Statistics.given(mean, self.axes.T @ full.covariance @ self.axes, full.n)

    def __call__(self, clips: Clips) -> list[np.ndarray]:
        """Clips [W, D] -> [W, k]."""
        return [(clip - self.mean) @ self.axes for clip in clips]


@dataclass(frozen=True)
class Interval:
    """A figure with its bootstrap interval."""

    value: float
    low: float
    high: float


def bootstrap_fad(
    clips: Clips, reference: Statistics, draws: int = 200, seed: int = 0, level: float = 0.95
) -> Interval:
    """FAD with the interval that the choice of clips gives at this n and reference.

    Clips drawn with replacement repeat, which raises FAD as a smaller n would; so the spread around the draws' own mean
    is laid around the estimate, instead of plain percentiles.
    """
    value = fad(clips, reference)
    generator = np.random.default_rng(seed)
    values = [fad([clips[i] for i in generator.integers(len(clips), size=len(clips))], reference) for _ in range(draws)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2]) - np.mean(values)
    return Interval(value, max(value + float(low), 0.0), value + float(high))


def fad_infinity(clips: Clips, reference: Statistics, sizes: int = 12, draws: int = 4, seed: int = 0) -> float:
    """FAD extrapolated to endless clips: intercept of a line through FAD(n) over 1/n.

    `sizes` values of n, evenly spaced in 1/n, between the least that gives a full covariance (or a fifth of the clips)
    and all; at each, the mean over `draws` subsets without replacement.
    """
    per_clip = np.mean([len(clip) for clip in clips])
    least = max(int(np.ceil(1.1 * (reference.dimension + 1) / per_clip)), len(clips) // 5)
    if least >= 0.7 * len(clips):
        raise FadError(f"FAD∞ needs n over a range: {len(clips)} clips are too few, {int(least / 0.7) + 1} would do")
    generator = np.random.default_rng(seed)
    counts = np.unique(np.round(1 / np.linspace(1 / least, 1 / len(clips), sizes)).astype(int))
    means = []
    for count in counts:
        subsets = [generator.permutation(len(clips))[:count] for _ in range(draws)]
        means.append(np.mean([fad([clips[i] for i in subset], reference) for subset in subsets]))
    return float(np.polyfit(1 / counts, means, 1)[1])
