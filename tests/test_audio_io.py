"""Reading any rate and channels, exact clips, FLAC written whole or not at all, refusals that name the file."""

import numpy as np
import pytest
import soundfile
import torch

from ditto.audio.io import flac_bytes, read, read_clip, write_flac
from ditto.types import ClipSpec, UserError

CLIP = ClipSpec(sample_rate=22050, hop=256, frames=64, mel_bins=16)


def tone(rate: int, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_any_rate_and_format(tmp_path, rate, name):
    soundfile.write(tmp_path / name, np.stack([tone(rate), tone(rate)], 1), rate)
    wave = read(tmp_path / name, 22050)
    assert wave.dtype == torch.float32
    assert wave.ndim == 1
    assert abs(len(wave) - 22050) <= 3
    difference = wave[5000:15000] - torch.from_numpy(tone(22050))[5000:15000]
    assert difference.abs().max() < (0.01 if name.endswith(("wav", "flac")) else 0.1)


def test_channels_are_averaged(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([tone(22050), 0 * tone(22050)], 1), 22050, subtype="FLOAT")
    torch.testing.assert_close(read(tmp_path / "a.wav", 22050), torch.from_numpy(tone(22050) / 2).float())


def test_a_clip_is_exact(tmp_path):
    wave = torch.arange(30_000) / 40_000
    path = write_flac(tmp_path / "deep" / "a.flac", wave, 22050)
    clip = read_clip(path, CLIP, start_s=100 / 22050)
    torch.testing.assert_close(clip, wave[100 : 100 + CLIP.samples], atol=2**-15, rtol=0)
    almost = write_flac(tmp_path / "almost.flac", wave[: CLIP.samples - 50], 22050)
    assert read_clip(almost, CLIP).shape == (CLIP.samples,)
    assert (read_clip(almost, CLIP)[-50:] == 0).all()


def test_loud_samples_are_clipped(tmp_path):
    path = write_flac(tmp_path / "a.flac", torch.tensor([2.0, -2.0, 0.5] * 1000), 22050)
    torch.testing.assert_close(read(path, 22050)[:3], torch.tensor([1.0, -1.0, 0.5]), atol=2**-14, rtol=0)
    assert soundfile.info(path).subtype == "PCM_16"


def test_nothing_half_written(tmp_path):
    path = write_flac(tmp_path / "a.flac", torch.zeros(100), 22050)
    before = path.read_bytes()
    for wave in (torch.full((10,), float("nan")), torch.zeros(0)):
        with pytest.raises(UserError, match="no sound to write"):
            write_flac(path, wave, 22050)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.flac"]
    assert path.read_bytes() == before == flac_bytes(torch.zeros(100), 22050)


def test_refusals_name_the_file(tmp_path):
    (tmp_path / "text.wav").write_text("not audio")
    (tmp_path / "empty.wav").touch()
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 22050)
    soundfile.write(tmp_path / "nan.wav", np.full(10, np.nan), 22050, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", np.zeros(1000), 22050)
    cases = {
        "missing.wav": "no audio file",
        "text.wav": "cannot read",
        "empty.wav": "cannot read",
        "none.wav": "is empty",
        "nan.wav": "not numbers",
        "short.wav": "lasts 0.05 s: too short for a clip of 0.74 s",
    }
    for name, message in cases.items():
        with pytest.raises(UserError, match=message) as error:
            read_clip(tmp_path / name, CLIP)
        assert name in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="too short"):
        read_clip(tmp_path / "short.wav", CLIP, start_s=-1)


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.flac", "a.ogg", "a.mp3"])
def test_a_file_cut_off_is_refused_by_name(tmp_path, name):
    """libsndfile reads what is left of a WAV, Ogg or MP3 file without a word."""
    path = tmp_path / name
    soundfile.write(path, np.random.default_rng(0).normal(size=44_100) / 9, 22050)
    whole = path.read_bytes()
    for share in (0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UserError, match=name):
            read(path, 22050)
    path.write_bytes(whole)
    assert abs(len(read(path, 22050)) - 44_100) < 3


def test_a_wav_from_a_pipe_has_no_length(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(22050), 22050)
    content = bytearray(path.read_bytes())
    content[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(read(path, 22050)) == 22050
