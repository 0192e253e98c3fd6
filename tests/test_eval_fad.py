"""FAD on Gaussians whose distance is known in closed form."""

import numpy as np
import pytest
import scipy.linalg

from eval.fad import FadError, Projection, Statistics, bootstrap_fad, fad, fad_infinity, frechet_distance


def clips(n, dimension=8, windows=3, seed=0, shift=0.0, scale=1.0):
    return list(shift + scale * np.random.default_rng(seed).normal(size=(n, windows, dimension)))


def exact(mean, covariance, n=1000):
    statistics = Statistics(len(mean), n)
    statistics.mean, statistics.scatter = np.array(mean, float), np.array(covariance, float) * (n - 1)
    return statistics


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


def test_equals_the_square_root_formula():
    a, b = Statistics.of(clips(60)), Statistics.of(clips(60, seed=1, scale=1.7, shift=0.3))
    root = scipy.linalg.sqrtm(a.covariance @ b.covariance).real
    other = np.square(a.mean - b.mean).sum() + np.trace(a.covariance + b.covariance - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(other, rel=1e-9)


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
    assert fad(projection(clips(2, 3)), Statistics.of(projection(wide))) > 0


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
