"""Pictures: they are drawn for one or two versions, without pyplot's global state."""

import sys

import numpy as np
import torch

from ditto.controls.intensity import Intensity
from ditto.models.toy import Toy
from ditto.noise import noise
from ditto.plots import Column, clip_picture, mel_db
from ditto.records import render
from ditto.types import ClipRequest


def test_mel_is_in_db_below_the_maximum():
    model = Toy()
    tone = np.sin(2 * np.pi * 440 * np.arange(model.clip.samples) / model.clip.sample_rate).astype(np.float32)
    mel_FT = mel_db(tone, model.clip)
    assert mel_FT.max() == 0
    assert mel_FT.min() >= -80


def test_picture_of_a_clip_and_its_text_only_version():
    model = Toy()
    control = Intensity().bind(model, [ClipRequest("a", "a long prompt " * 20, 0, 0), ClipRequest("b", "b", 1, 1)])
    x_0 = noise([0, 1], model.shape)
    made = render(control, x_0, model.wave(x_0))
    assert made.metrics["loss"].shape == (2,)
    assert torch.equal(made.heard_BN, made.wave_BN)
    one = clip_picture([Column("controlled", control, made)], 1)
    two = clip_picture([Column("controlled", control, made), Column("text only", control, made)], 1)
    assert one.startswith(b"\x89PNG")
    assert two.startswith(b"\x89PNG")
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
