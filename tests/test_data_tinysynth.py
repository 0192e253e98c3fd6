"""The synthesiser from PyPI: same bounds and length as FluidSynth, repeatable, clear when missing."""

import importlib.util
import sys

import numpy as np
import pytest
import soundfile

from ditto.data import build, labels, pack, render, tinysynth

FONT = next((path for path in render.SOUNDFONTS if path.exists()), None)
needs_synth = pytest.mark.skipif(
    importlib.util.find_spec("tinysoundfont") is None or FONT is None, reason="no tinysoundfont or no soundfont here"
)


@needs_synth
def test_pieces_render_the_same_in_any_order(tmp_path):
    packed = pack.read_pack("val")
    pieces = sorted(labels.load_pieces("val"), key=lambda piece: len(packed[piece.piece_id]))[:2]
    for number, piece in enumerate([*pieces, *pieces[::-1]]):
        seconds = tinysynth.render_tiny(piece, packed[piece.piece_id], tmp_path / f"{number}.flac", FONT)
        assert seconds == pytest.approx(piece.seconds, abs=6)
    assert (tmp_path / "0.flac").read_bytes() == (tmp_path / "3.flac").read_bytes()
    assert (tmp_path / "1.flac").read_bytes() == (tmp_path / "2.flac").read_bytes()
    wave, rate = soundfile.read(tmp_path / "0.flac")
    assert rate == render.RATE
    assert 10 ** (-9.1 / 20) < np.abs(wave).max() < 10 ** (-0.9 / 20)


@needs_synth
def test_the_synthesiser_is_bounded(monkeypatch):
    midi = next(iter(pack.read_pack("val").values()))
    monkeypatch.setattr(tinysynth, "MAX_SECONDS", 5.0)
    with pytest.raises(render.RenderError, match="longer than"):
        tinysynth.dry(midi, FONT)
    monkeypatch.setattr(tinysynth, "MAX_SECONDS", 100.0)
    monkeypatch.setattr(tinysynth, "TIMEOUT", -1.0)
    with pytest.raises(render.RenderError, match="took more than"):
        tinysynth.dry(midi, FONT)


def test_a_room_keeps_the_level_and_rings():
    wave = np.zeros(4 * render.SYNTH_RATE, np.float32)
    wave[1000:3000] = 0.5
    heard = tinysynth.reverberate(wave, seed=1)
    assert np.array_equal(heard, tinysynth.reverberate(wave, seed=1))
    assert np.sum((heard - wave) ** 2) < np.sum(wave**2)
    assert np.abs(heard[5000:]).max() > 1e-4


def test_a_missing_synthesiser_is_one_clear_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "tinysoundfont", None)
    assert build.main(["render", "--synth", "tinysoundfont", "--out", str(tmp_path)]) == 2
    assert "pip install --no-deps tinysoundfont" in capsys.readouterr().err
    monkeypatch.setattr(render.shutil, "which", lambda name: None)
    assert build.main(["render", "--out", str(tmp_path)]) == 2
    assert "--synth tinysoundfont" in capsys.readouterr().err
