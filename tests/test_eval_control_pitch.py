"""The pitch tracker: the frequencies of the original package, notes over its range, and other rates and lengths."""

import json

import numpy as np
import pytest
import torch

from eval.control import pitch, swift_f0
from tests.control_golden import FOLDER, HOP, RATE


def glide(seconds=0.5):
    """From 60 Hz to 1.9 kHz with partials over noise 40 dB below, at 16 kHz, [N].

    Without noise the logarithm of empty bands is that of rounding errors, and no two FFTs agree.
    """
    time_N = np.arange(round(seconds * swift_f0.RATE)) / swift_f0.RATE
    octaves = np.log2(1900 / 60) / seconds
    phase_N = 2 * np.pi * 60 * (2 ** (octaves * time_N) - 1) / (octaves * np.log(2))
    noise_N = 0.002 * np.random.default_rng(0).normal(size=len(time_N))
    return (0.2 * sum(np.sin(k * phase_N) / k for k in range(1, 5)) + noise_N).astype(np.float32)


def test_the_frequencies_of_the_package():
    """Stored: what swift-f0 0.3.0 with onnxruntime says of the glide."""
    stored = np.array(json.loads((FOLDER / "swift_f0.json").read_text()))
    with torch.no_grad():
        found = swift_f0.load()(torch.from_numpy(glide())[None])[0].numpy()
    assert found == pytest.approx(stored, abs=0.01)


@pytest.mark.parametrize("note", [40, 57, 69, 81, 93])
@pytest.mark.parametrize("rate", [22050, 16000, 44100])
def test_a_steady_note_within_a_quarter_of_a_semitone(note, rate):
    hertz = 440 * 2 ** ((note - 69) / 12)
    time_N = np.arange(64 * HOP) / rate
    found_T = pitch.track(sum(np.sin(2 * np.pi * k * hertz * time_N) / k for k in (1, 2, 3)) * 0.2, rate, HOP)
    assert len(found_T) == 64
    assert np.median(np.abs(12 * np.log2(found_T[4:-4] / hertz))) < 0.25


def test_only_the_sounding_part_has_a_pitch():
    wave_N = np.concatenate([np.zeros(32 * HOP), 0.3 * np.sin(2 * np.pi * 440 * np.arange(32 * HOP) / RATE)])
    found_T = pitch.track(wave_N, RATE, HOP)
    assert not found_T[:28].any()
    assert found_T[36:] == pytest.approx(440, rel=0.02)


def test_grad_mode_is_left_alone():
    pitch.track(np.zeros(4 * HOP), RATE, HOP)
    assert torch.is_grad_enabled()
