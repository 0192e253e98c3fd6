"""Features against librosa and scipy, on music-like sound; gradients at silence; malformed input."""

import librosa
import numpy as np
import pytest
import torch
from scipy.signal import savgol_filter

from ditto.audio import features
from ditto.audio.io import read
from ditto.controls.reference import EXAMPLES

RATE, HOP, FRAMES = 22050, 256, 128


def music(seed: int = 0, frames: int = FRAMES) -> torch.Tensor:
    """Two clips of chords with decays and a little noise, [2, N]."""
    generator = np.random.default_rng(seed)
    time = np.arange(frames * HOP) / RATE
    waves = []
    for _ in range(2):
        notes = generator.integers(48, 84, size=(4, 3))
        wave = 0.002 * generator.standard_normal(time.size)
        for start, chord in zip(np.linspace(0, time[-1], 4, endpoint=False), notes, strict=True):
            since = np.maximum(time - start, 0)
            tones = sum(np.sin(2 * np.pi * 440 * 2 ** ((n - 69) / 12) * since) for n in chord)
            wave += 0.1 * tones * np.exp(-3 * since)
        waves.append(wave)
    return torch.tensor(np.array(waves), dtype=torch.float32)


def reference(function, wave_BN, **arguments):
    """The librosa feature of each clip without its last frame."""
    return np.stack([function(y=wave.numpy(), hop_length=HOP, **arguments)[..., :-1] for wave in wave_BN])


def test_rms_is_librosas():
    wave = music()
    expected = 20 * np.log10(reference(librosa.feature.rms, wave, frame_length=2048)[:, 0])
    assert expected.min() > -50
    np.testing.assert_allclose(features.rms_db(wave, HOP), expected, atol=0.01)


def test_rms_of_known_levels():
    wave = torch.full((1, 64 * HOP), 0.1)
    assert features.rms_db(wave, HOP)[0, 32] == pytest.approx(-20, abs=1e-3)
    assert features.rms_db(wave * 0, HOP)[0, 32] == pytest.approx(features.RMS_FLOOR_DB, abs=1e-3)


@pytest.mark.parametrize("mode", ["interp", "nearest"])
@pytest.mark.parametrize(("window", "order"), [(21, 2), (9, 3), (5, 0)])
def test_savgol_is_scipys(mode, window, order):
    x = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    expected = savgol_filter(x.numpy(), window, order, mode=mode)
    np.testing.assert_allclose(features.savgol(x, window, order, mode), expected, atol=1e-4)


def test_savgol_on_two_axes():
    x = torch.randn(2, 40, 40, generator=torch.Generator().manual_seed(0))
    expected = savgol_filter(savgol_filter(x.numpy(), 11, 2, axis=-1), 11, 2, axis=-2)
    np.testing.assert_allclose(features.savgol(x, 11, axes=(-1, -2)), expected, atol=1e-4)


def test_savgol_fits_its_window_to_the_axis():
    x = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(features.savgol(x, 99), savgol_filter(x.numpy(), 7, 2), atol=1e-4)
    assert torch.equal(features.savgol(x, 1), x)


def test_power_spectrum_is_librosas():
    wave = music()
    expected = np.abs(reference(librosa.stft, wave, n_fft=2048)) ** 2
    np.testing.assert_allclose(features.power_spectrum(wave, HOP), expected, atol=1e-4 * expected.max())
    np.testing.assert_allclose(features.magnitude(wave, HOP) ** 2, expected, atol=1e-4 * expected.max())


@pytest.mark.parametrize("n_fft", [2048, 4096])
def test_chroma_is_librosas(n_fft):
    wave = music()
    raw = reference(librosa.feature.chroma_stft, wave, sr=RATE, n_fft=n_fft, tuning=0.0, norm=None)
    ours = features.chroma(wave, RATE, HOP, n_fft=n_fft, cutoff_hz=1e-9)
    np.testing.assert_allclose(ours, raw / raw.sum(1, keepdims=True), atol=1e-3)
    torch.testing.assert_close(ours.sum(1), torch.ones(2, FRAMES))


def test_highpass_is_the_biquad():
    from scipy.signal import freqz

    omega, q = 2 * np.pi * features.MIDDLE_C_HZ / RATE, 2**-0.5
    alpha, cos = np.sin(omega) / (2 * q), np.cos(omega)
    b, a = [(1 + cos) / 2, -(1 + cos), (1 + cos) / 2], [1 + alpha, -2 * cos, 1 - alpha]
    hz, response = freqz(b, a, worN=200, fs=RATE)
    gain = features.highpass_gain(hz, features.MIDDLE_C_HZ, RATE)
    np.testing.assert_allclose(gain, np.abs(response), atol=1e-9)
    assert features.highpass_gain(np.array([features.MIDDLE_C_HZ]), features.MIDDLE_C_HZ, RATE) == pytest.approx(q)


@pytest.mark.parametrize("midi", [60, 69, 71, 84])
def test_chroma_names_the_pitch_class_above_a_louder_bass(midi):
    time = torch.arange(64 * HOP) / RATE
    tone = 0.1 * torch.sin(2 * torch.pi * 440 * 2 ** ((midi - 69) / 12) * time)
    bass = 0.2 * torch.sin(2 * torch.pi * 61.74 * time)  # B1
    found = features.chroma((tone + bass)[None], RATE, HOP, window=9).argmax(1)[0, 8:-8]
    assert (found == midi % 12).all()


def test_mfcc_is_librosas():
    wave = music()
    wave[1, 10000:12000] = 0
    expected = reference(librosa.feature.mfcc, wave, sr=RATE, n_mfcc=20)[:, 1:]
    np.testing.assert_allclose(features.mfcc(wave, RATE, HOP), expected, atol=0.05)


def test_centroid_is_librosas():
    wave = music()
    expected = reference(librosa.feature.spectral_centroid, wave, sr=RATE)[:, 0]
    np.testing.assert_allclose(features.spectral_centroid(wave, RATE, HOP), expected, atol=1.0)


def test_self_similarity_range_and_identity():
    first, second = torch.randn(2, 19, 1, generator=torch.Generator().manual_seed(0))
    aba = torch.cat([first.expand(19, 30), second.expand(19, 30), first.expand(19, 30)], 1)[None]
    letters = torch.tensor([0] * 30 + [1] * 30 + [0] * 30)
    same = (letters[:, None] == letters).float()[None]
    torch.testing.assert_close(features.self_similarity(aba), same, atol=1e-4, rtol=0)


def test_correlation():
    x = torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(features.correlation(x, 3 * x + 1), torch.ones(2))
    torch.testing.assert_close(features.correlation(x, -x), -torch.ones(2))
    expected = np.corrcoef(x[0], x[1])[0, 1]
    assert features.correlation(x[:1], x[1:]).item() == pytest.approx(expected, abs=1e-5)
    assert features.correlation(x, torch.ones_like(x)).abs().max() < 1e-6
    level = 10 * torch.randn(2, 512)
    flat = features.savgol(torch.full_like(level, -24.0), 87)  # constant but for rounding
    assert flat.std() > 0
    assert features.correlation(level, flat).abs().max() < 0.02


@pytest.mark.parametrize("position", range(8))
def test_agreement_on_real_clips(position):
    wave = read(sorted(EXAMPLES.glob("*.flac"))[position], RATE)[None]
    level = 20 * np.log10(reference(librosa.feature.rms, wave, frame_length=2048)[:, 0] + 1e-9)
    audible = level[0] > -50
    np.testing.assert_allclose(features.rms_db(wave, HOP)[0, audible], level[0, audible], atol=0.01)
    np.testing.assert_allclose(features.savgol(torch.from_numpy(level), 87), savgol_filter(level, 87, 2), atol=1e-4)
    raw = reference(librosa.feature.chroma_stft, wave, sr=RATE, n_fft=2048, tuning=0.0, norm=None)
    expected = (raw + 1e-6) / (raw + 1e-6).sum(1, keepdims=True)
    ours = features.chroma(wave, RATE, HOP, cutoff_hz=1e-9)
    np.testing.assert_allclose(ours[..., audible], expected[..., audible], atol=1e-3)
    expected = reference(librosa.feature.mfcc, wave, sr=RATE, n_mfcc=20)[:, 1:]
    np.testing.assert_allclose(features.mfcc(wave, RATE, HOP), expected, atol=0.05)


FUNCTIONS = {
    "rms_db": lambda w: features.rms_db(w, HOP),
    "magnitude": lambda w: features.magnitude(w, HOP),
    "chroma": lambda w: features.chroma(w, RATE, HOP, window=9).log(),
    "mel_db": lambda w: features.mel_db(w, RATE, HOP),
    "self_similarity": lambda w: features.self_similarity(features.mfcc(w, RATE, HOP)),
    "spectral_centroid": lambda w: features.spectral_centroid(w, RATE, HOP),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("level", [0.0, 1e-6, 1.0])
def test_gradients_are_finite(name, level):
    wave = (level * music(frames=32)).requires_grad_()
    FUNCTIONS[name](wave).square().sum().backward()
    assert torch.isfinite(wave.grad).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_right(name):
    wave = music(frames=24).double().requires_grad_()
    direction = torch.randn(wave.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(FUNCTIONS[name](wave).square().mean(), wave)
    step = 1e-7
    with torch.no_grad():
        ends = [FUNCTIONS[name](wave + sign * step * direction).square().mean() for sign in (1, -1)]
    torch.testing.assert_close((ends[0] - ends[1]) / (2 * step), (gradient * direction).sum(), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_clips_are_independent(name):
    wave = music()
    torch.testing.assert_close(FUNCTIONS[name](wave)[1:], FUNCTIONS[name](wave[1:]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wave", [torch.zeros(512), torch.zeros(1, 300), torch.zeros(1, 0), torch.zeros(1, 256).int()])
def test_malformed_waves_raise(wave):
    with pytest.raises(ValueError, match="wave"):
        features.rms_db(wave, HOP)


def test_constants_made_under_inference_mode_still_differentiate():
    wave = music(frames=20)
    with torch.inference_mode():
        features.self_similarity(features.mfcc(wave, RATE + 1, HOP))
    wave.requires_grad_()
    features.self_similarity(features.mfcc(wave, RATE + 1, HOP)).sum().backward()
    assert torch.isfinite(wave.grad).all()
