"""The log-mel front end against librosa."""

import librosa
import numpy as np
import pytest
import torch

from ditto.audio.mel import FLOOR, LogMel


@pytest.fixture
def wave() -> np.ndarray:
    t = np.arange(22050) / 22050
    rng = np.random.default_rng(0)
    return (0.4 * np.sin(2 * np.pi * 440 * t * (1 + 0.2 * t)) + 0.05 * rng.standard_normal(len(t))).astype(np.float32)


def test_agrees_with_librosa(wave: np.ndarray) -> None:
    reference = librosa.feature.melspectrogram(
        y=wave, sr=22050, n_fft=2048, hop_length=256, n_mels=160, fmin=20, power=1.0, pad_mode="constant"
    )
    ours = LogMel()(torch.from_numpy(wave)[None])[0].numpy()
    frames = len(wave) // 256
    assert ours.shape == (160, frames)
    np.testing.assert_allclose(ours, np.log(np.maximum(reference[:, :frames], FLOOR)), atol=1e-4)


def test_silence_is_the_floor_and_has_a_finite_gradient() -> None:
    wave = torch.zeros(1, 4096, requires_grad=True)
    mel = LogMel()(wave)
    mel.sum().backward()
    assert torch.equal(mel.detach(), torch.full_like(mel, float(np.log(FLOOR))))
    assert wave.grad is not None
    assert wave.grad.isfinite().all()
