"""Intensity: curves, the user's csv, golden values of both losses, what is not counted, refusals."""

import numpy as np
import pytest
import torch

from ditto.controls.base import ControlError, Sound
from ditto.controls.curves import SHAPES, csv_curve, shape_curve
from ditto.controls.intensity import Intensity
from ditto.models.toy import Toy
from tests.control_cases import latents, requests, toy

LONG = Toy(frames=512)


def faded(curve_db: np.ndarray) -> torch.Tensor:
    """A sine whose level per frame follows a curve in dB, [1, N]."""
    time = np.arange(len(curve_db) * 256)
    level = np.interp(time, np.arange(len(curve_db)) * 256, curve_db)
    return torch.tensor(10 ** (level / 20) * np.sqrt(2) * np.sin(0.3 * time), dtype=torch.float32)[None]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_sound_that_follows_the_curve_scores_near_zero(shape):
    control = Intensity(shape).bind(LONG, requests(1))
    wave = faded(shape_curve(shape, 512, -32, -16))
    metrics = control.score(Sound(LONG, latents(1), wave))
    assert metrics["intensity_mse"] < 0.5
    if shape != "flat":
        assert metrics["intensity_correlation"] > 0.99


def test_golden_values():
    """6 dB too loud: 36 dB² and perfect correlation."""
    control = Intensity("sine").bind(LONG, requests(1))
    wave = faded(shape_curve("sine", 512, -32, -16) + 6)
    control.target = control.measure(Sound(LONG, latents(1), wave * 10 ** (-6 / 20)))
    metrics = control.score(Sound(LONG, latents(1), wave))
    assert metrics["intensity_mse"].item() == pytest.approx(36, abs=0.05)
    assert metrics["intensity_correlation"].item() == pytest.approx(1, abs=1e-4)


def test_auto_takes_all_shapes_in_turn():
    target = Intensity().bind(LONG, requests(9)).target
    torch.testing.assert_close(target[0], target[8])
    assert len({tuple(row) for row in target[:8].tolist()}) == 8
    assert target.min() > -35
    assert target.max() < -13
    torch.testing.assert_close(target[0, [0, -1]], torch.tensor([-32.0, -16.0]), atol=0.1, rtol=0)


def test_levels_and_csv_agree(tmp_path):
    path = tmp_path / "curve.csv"
    path.write_text("time_s,dB\n0,-30\n0.37,-16\n0.74,-30\n")
    from_csv = Intensity(str(path)).bind(toy(), requests(1)).target
    from_list = Intensity([-30, -16, -30]).bind(toy(), requests(1)).target
    torch.testing.assert_close(from_csv, from_list, atol=0.5, rtol=0)


def test_only_frames_after_from_count():
    control = Intensity("flat", from_s=0.37, smoothing_s=0.0).bind(toy(), requests())
    y = control.target.clone()
    y[:, :32] += 50
    torch.testing.assert_close(control.distance(y, control.target), torch.zeros(2))
    y[:, 32:] += 2
    torch.testing.assert_close(control.distance(y, control.target), torch.full((2,), 4.0))


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (Intensity("loud"), "unknown curve 'loud': choose auto, crescendo"),
        (Intensity("nowhere.csv"), "no curve at 'nowhere.csv'"),
        (Intensity([-20]), "at least two levels"),
        (Intensity([-20, float("nan")]), "all finite"),
        (Intensity(objective="l1"), "choose mse or correlation"),
        (Intensity(from_s=1.0), "outside the clip"),
    ],
)
def test_refusals(control, message):
    with pytest.raises(ControlError, match=message):
        control.bind(toy(), requests())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,-30\n2,-20\n", "covers 0 to 2 s, the clip lasts 5.94 s"),
        ("0,-30\n3,-20\n3,-10\n6,-20\n", "must increase"),
        ("0,-30\nloud\n", "row 2: expected"),
        ("0,-30\n6,nan\n", "row 2: time and level must be finite"),
        ("time,dB\n", "at least two rows"),
        ("", "at least two rows"),
    ],
)
def test_malformed_csv(tmp_path, text, message):
    path = tmp_path / "curve.csv"
    path.write_text(text)
    with pytest.raises(ControlError, match=message):
        csv_curve(path, np.arange(512) * 256 / 22050, 5.944)


def test_binary_csv(tmp_path):
    path = tmp_path / "curve.csv"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(ControlError, match="cannot read the curve"):
        csv_curve(path, np.arange(512) * 256 / 22050, 5.944)
