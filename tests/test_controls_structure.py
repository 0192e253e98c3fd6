"""Structure: the matrix of a form, golden values, a sound of that form, refusals."""

import pytest
import torch

from ditto.audio.io import read_clip
from ditto.controls.base import ControlError, Sound
from ditto.controls.structure import FORMS, Structure, form_matrix
from ditto.controls.structure_transfer import StructureTransfer
from ditto.models.toy import Toy
from tests.control_cases import latents, recordings, requests, toy

LONG = Toy(frames=258)


def sections(form: str) -> torch.Tensor:
    """One sound per letter: noise with a spectrum of its own, [1, N]."""
    generator = torch.Generator().manual_seed(0)
    length = LONG.clip.samples // len(form)
    sounds = []
    for letter in form:
        spectrum = torch.fft.rfft(torch.randn(length, generator=generator))
        tilt = torch.linspace(0, 6, len(spectrum)) * (1 if letter == "A" else -1)
        sounds.append(torch.fft.irfft(spectrum * torch.exp(tilt), n=length))
    return 0.1 * torch.cat([sound / sound.std() for sound in sounds])[None]


def test_matrix_of_a_form():
    expected = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]])
    assert torch.equal(form_matrix("ABA", 3), expected)
    assert torch.equal(form_matrix("ABA", 9)[::3, ::3], expected)
    assert form_matrix("ABC", 3)[0, 1] == 0.25  # cosine -1/2: the least that three sections can all have


@pytest.mark.parametrize("form", ["ABA", "AAB"])
def test_a_sound_of_the_form_scores_low_and_another_high(form):
    control = Structure(form, smoothing_s=0.5).bind(LONG, requests(1))
    other = "AAB" if form == "ABA" else "ABA"
    scores = [
        control.score(Sound(LONG, latents(1), sections(kind)))["structure_mse"].item() for kind in (form, other, "AB")
    ]
    assert scores[0] < 0.08  # noise is alike only on average
    assert min(scores[1:]) > 0.15


def test_unrelated_frames_score_as_text_only_does():
    """About 1/4: similarities of 1/2 against targets of 0 and 1 (0.309 is reported for text-only)."""
    control = Structure("ABBA", smoothing_s=0.0).bind(LONG, requests(1))
    assert control.distance(torch.full_like(control.target, 0.5), control.target).item() == pytest.approx(0.25)


def test_forms_in_turn():
    targets = Structure(smoothing_s=0.0).bind(toy(), requests(len(FORMS) + 1)).target
    assert torch.equal(targets[0], targets[-1])
    assert torch.equal(targets[1], form_matrix("ABBA", 64))
    listed = Structure(["AB", "AAB"], smoothing_s=0.0).bind(toy(), requests(2)).target
    assert torch.equal(listed[1], form_matrix("AAB", 64))


def test_transfer_from_itself_is_perfect():
    control = StructureTransfer(f"{recordings()}/0.flac").bind(toy(), requests(1))
    wave = read_clip(f"{recordings()}/0.flac", toy().clip)[None]
    assert control.score(Sound(toy(), latents(1), wave))["structure_mse"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("form", ["", "A", "AAA", "A-B", "A B"])
def test_refused_forms(form):
    with pytest.raises(ControlError, match="at least two different"):
        Structure(form).bind(toy(), requests())
