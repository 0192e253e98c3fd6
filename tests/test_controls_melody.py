"""Melody: targets from notes, MIDI and recordings; golden accuracies; what is not counted; refusals."""

import json

import numpy as np
import pytest
import torch

from ditto.audio.io import write_flac
from ditto.controls import tunes
from ditto.controls.base import ControlError, Sound
from ditto.controls.melody import Melody
from ditto.models.toy import Toy
from tests.control_cases import RATE, latents, recordings, requests, toy, tune

HOP = 256
A, C, SILENT = 9, 0, tunes.SILENT


def tone(midi: float, frames: int, level: float = 0.2) -> torch.Tensor:
    """A sawtooth-like note, [N]."""
    time = torch.arange(frames * HOP) / RATE
    hertz = 440 * 2 ** ((midi - 69) / 12)
    return level * sum(torch.sin(2 * torch.pi * k * hertz * time) / k for k in (1, 2, 4))


def classes(control: Melody, position: int = 0) -> list[int]:
    target = control.target[position]
    return torch.where(target.sum(0) > 0, target.argmax(0), SILENT).tolist()


def test_midi_file():
    found = classes(Melody(tune()).bind(toy(), requests(1)))
    assert found == [A] * 26 + [SILENT] * 9 + [C] * 29  # 0.3 s is frame 25.8, 0.4 s is 34.5


def test_highest_note_counts():
    notes = [(0.0, 1.0, 60), (0.0, 0.2, 69), (0.3, 0.2, 50)]
    found = tunes.pitch_classes(notes, toy().clip)
    assert set(found[:17]) == {A}
    assert set(found[18:]) == {C}


def test_recording(tmp_path):
    wave = torch.cat([tone(69, 40), tone(72, 40)])
    write_flac(tmp_path / "sung.flac", wave, RATE)
    found = np.array(classes(Melody(str(tmp_path / "sung.flac")).bind(toy(), requests(1))))
    assert (found[5:35] == A).all()
    assert (found[48:60] == C).all()


def test_examples_are_taken_in_turn(tmp_path, monkeypatch):
    melodies = [{"notes": [[0, 1, 60]]}, {"notes": [[0.1, 0.3, 61], [0.4, 0.5, 62]]}]
    (tmp_path / "melodies.json").write_text(json.dumps(melodies))
    monkeypatch.setattr(tunes, "EXAMPLES", tmp_path)
    control = Melody().bind(toy(), requests(3))
    assert classes(control, 0) == classes(control, 2) == [0] * 64
    assert set(classes(control, 1)) == {SILENT, 1, 2}


def test_golden_accuracy():
    """The tune for its first half, a wrong note after; the rest's frames don't count."""
    model = Toy(frames=256)
    control = Melody(tune()).bind(model, requests(2))
    control.target = torch.zeros(2, 12, 256)
    control.target[:, A, :100] = 1
    control.target[:, C, 156:] = 1
    right = torch.cat([tone(69, 128), tone(72, 128)])
    half = torch.cat([tone(69, 128), tone(71, 128)])
    metrics = control.score(Sound(model, latents(), torch.stack([right, half])))
    assert metrics["melody_accuracy"].tolist() == [100, 50]
    assert metrics["melody_nll"][0] < 0.7
    assert metrics["melody_nll"][1] > metrics["melody_nll"][0] + 0.8


def test_loss_is_nothing_when_the_class_is_certain():
    control = Melody(tune()).bind(toy(), requests(1))
    certain = torch.where(control.target > 0, 0.0, -50.0)
    assert control.distance(certain, control.target).item() == 0
    uniform = torch.full_like(control.target, float(np.log(1 / 12)))
    assert control.distance(uniform, control.target).item() == pytest.approx(np.log(12), rel=1e-5)


def test_refusals(tmp_path):
    with pytest.raises(ControlError, match=r"unknown melody 'ode to joy': choose auto, a \.mid file"):
        Melody("ode to joy").bind(toy(), requests())
    with pytest.raises(ControlError, match=r"no melody at 'nowhere\.mid'"):
        Melody("nowhere.mid").bind(toy(), requests())
    with pytest.raises(ControlError, match="list of melodies is empty"):
        Melody([]).bind(toy(), requests())
    (tmp_path / "broken.mid").write_bytes(b"MThd, or so it says")
    with pytest.raises(ControlError, match=r"cannot read .* as MIDI"):
        Melody(str(tmp_path / "broken.mid")).bind(toy(), requests())
    write_flac(tmp_path / "silence.flac", torch.zeros(20_000), RATE)
    with pytest.raises(ControlError, match="no note was found"):
        Melody(str(tmp_path / "silence.flac")).bind(toy(), requests())


def test_missing_examples_are_named(monkeypatch):
    monkeypatch.setattr(tunes, "EXAMPLES", tunes.Path(recordings()) / "none")
    with pytest.raises(ControlError, match="no example melodies"):
        Melody().bind(toy(), requests())


def test_the_shipped_tunes_are_melodies():
    control = Melody().bind(Toy(frames=512), requests(64))
    voiced = control.target.sum((1, 2)) / 512
    assert (voiced > 0.2).all()
    assert len({tuple(classes(control, i)) for i in range(64)}) > 50
