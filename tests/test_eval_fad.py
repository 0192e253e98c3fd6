"""FAD on Gaussians whose distance is known in closed form."""

import warnings

import numpy as np
import pytest
import scipy.linalg

from eval.fad import (
    FadError,
    Projection,
    SmallSetWarning,
    Statistics,
    bootstrap_fad,
    fad,
    fad_infinity,
    frechet_distance,
    small_set_bias,
    warn_if_small,
)
from eval.references import Reference
from eval.sets import fad_rows


def clips(n, dimension=8, windows=3, seed=0, shift=0.0, scale=1.0):
    return list(shift + scale * np.random.default_rng(seed).normal(size=(n, windows, dimension)))


def exact(mean, covariance, n=1000):
    return Statistics.given(np.array(mean, float), np.array(covariance, float), n)


def packages_formula(a, b):
    """The distance as frechet-audio-distance 0.3.4 (and pytorch-fid) takes it: a complex root of the product."""
    root = scipy.linalg.sqrtm((a.covariance @ b.covariance).astype(complex))
    return np.square(a.mean - b.mean).sum() + np.trace(a.covariance) + np.trace(b.covariance) - 2 * np.trace(root).real


def test_known_gaussians():
    a = exact([0, 0], np.diag([1.0, 4.0]))
    b = exact([3, 4], np.diag([9.0, 16.0]))
    assert frechet_distance(a, b) == pytest.approx(25 + (1 - 3) ** 2 + (2 - 4) ** 2, rel=1e-12)


def test_same_set_is_zero():
    a = Statistics.of(clips(50))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)


def test_shift_adds_its_square():
    reference = Statistics.of(clips(50))
    assert fad(clips(50, shift=2.0), reference) == pytest.approx(8 * 4, rel=1e-10)


@pytest.mark.parametrize(("dimension", "n"), [(8, 60), (32, 60), (64, 150)])
def test_equals_the_packages_formula(dimension, n):
    """On correlated embeddings whose scales span three decades, as a network's do."""
    rng = np.random.default_rng(3)
    mix = rng.normal(size=(dimension, dimension)) * np.logspace(-2, 1, dimension)
    a, b = ([clip @ mix for clip in clips(n, dimension, seed=k, shift=0.2 * k, scale=1 + 0.3 * k)] for k in (0, 1))
    a, b = Statistics.of(a), Statistics.of(b)
    assert frechet_distance(a, b) == pytest.approx(packages_formula(a, b), rel=1e-6)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


def test_given_statistics_are_those_of_the_samples():
    samples = Statistics.of(clips(50, shift=3.0))
    given = Statistics.given(samples.mean, samples.covariance, samples.n)
    other = Statistics.of(clips(50, seed=1))
    assert frechet_distance(given, other) == pytest.approx(frechet_distance(samples, other), rel=1e-12)
    given.factor()
    given.update(np.concatenate(clips(20, seed=2)))  # a kept factor must not outlive new samples
    both = Statistics.of([*clips(50, shift=3.0), *clips(20, seed=2)])
    assert frechet_distance(given, other) == pytest.approx(frechet_distance(both, other), rel=1e-9)
    for mean, covariance in (([0, 0], np.eye(3)), ([0, np.nan], np.eye(2)), ([0, 0], [[1, 0], [1, 1]])):
        with pytest.raises(FadError):
            exact(mean, covariance)


def test_singular_covariance_is_no_problem():
    """A constant dimension on both sides: an ordinary square root of the product is ill-conditioned there."""
    a, b = [c * [1, 1, 0] for c in clips(40, 3)], [c * [1, 1, 0] for c in clips(40, 3, seed=1)]
    flat = [c[:, :2] for c in a], [c[:, :2] for c in b]
    assert fad(a, Statistics.of(b)) == pytest.approx(fad(flat[0], Statistics.of(flat[1])), rel=1e-9)


def test_streaming_equals_numpy_and_ignores_order():
    data = clips(40, shift=100.0)
    statistics = Statistics.of(data)
    pooled = np.concatenate(data)
    np.testing.assert_allclose(statistics.covariance, np.cov(pooled, rowvar=False), rtol=1e-10, atol=1e-12)
    reference = Statistics.of(clips(40, seed=1))
    assert fad(data[::-1], reference) == pytest.approx(fad(data, reference), rel=1e-10)


def test_bias_falls_with_n_and_extrapolation_removes_it():
    reference = Statistics.of(clips(20_000, seed=1))
    few, many = fad(clips(20), reference), fad(clips(200), reference)
    assert few > 3 * many
    assert abs(fad_infinity(clips(200), reference)) < 0.3 * many
    assert fad_infinity(clips(200), reference) == fad_infinity(clips(200), reference)


@pytest.mark.parametrize("n", [40, 160])
def test_bias_of_a_small_set_is_as_large_as_predicted(n):
    """Samples of the reference's own distribution, whose FAD would be 0 but for their number."""
    scales = np.array([4.0, 2.0, 1.0, 0.5, 0.1])
    reference = exact(np.zeros(5), np.diag(scales**2))
    rng = np.random.default_rng(0)
    found = [fad([rng.normal(size=(n, 5)) * scales], reference) for _ in range(300)]
    assert np.mean(found) == pytest.approx(small_set_bias(reference, n), rel=0.1)


def test_a_small_set_is_warned_about_and_a_large_one_not():
    reference = Statistics.of(clips(2000, seed=1))
    with pytest.warns(SmallSetWarning, match="FAD of 60 windows in 8 dimensions"):
        fad_rows(clips(20), Reference(reference, "2000 clips", "none"), draws=3)
    far, many = clips(20, shift=5.0), clips(500, scale=1.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_small(far, reference, fad(far, reference))  # the distance is far above what so few would have
        warn_if_small(many, reference, fad(many, reference))


def test_a_value_says_its_n_and_refuses_to_extrapolate_from_few():
    reference = Reference(Statistics.of(clips(500, seed=1)), "500 test clips", "an embedding")
    rows = {row["metric"]: row for row in fad_rows(clips(60, shift=2.0), reference, draws=20)}
    assert set(rows) == {"fad", "fad_infinity"}
    assert rows["fad"]["n"] == rows["fad_infinity"]["n"] == 60
    assert rows["fad_infinity"]["value"] < rows["fad"]["value"]
    few = fad_rows(clips(4, shift=2.0), reference, draws=3)
    assert [row["metric"] for row in few] == ["fad"]


def test_bootstrap_holds_the_value_and_is_seeded():
    reference = Statistics.of(clips(2000, seed=1))
    interval = bootstrap_fad(clips(60), reference, draws=50)
    assert interval.low <= interval.value <= interval.high
    assert interval == bootstrap_fad(clips(60), reference, draws=50)


def test_projection_keeps_the_leading_axes():
    wide = [c * [5, 1, 0.1] for c in clips(100, 3)]
    projection = Projection.fit(Statistics.of(wide), 1)
    assert projection.axes.shape == (3, 1)
    assert projection.explained == pytest.approx(25 / 26.01, abs=0.02)
    projected = projection.statistics(Statistics.of(wide))
    assert frechet_distance(projected, Statistics.of(projection(wide))) == pytest.approx(0, abs=1e-12)
    assert fad(projection(clips(2, 3)), projected) > 0


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ([], "no clips"),
        (clips(2), "more than 8 samples"),
        (clips(50, dimension=7), "different dimensions"),
        ([np.full((3, 8), np.nan)], "NaN"),
        ([np.zeros((3, 8)), np.zeros((3, 7))], "do not fit"),
    ],
)
def test_bad_input_raises(other, says):
    with pytest.raises(FadError, match=says):
        fad(other, Statistics.of(clips(50)))


def test_extrapolation_needs_a_range():
    with pytest.raises(FadError, match="too few"):
        fad_infinity(clips(4), Statistics.of(clips(50)))
