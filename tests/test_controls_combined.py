"""Sums of controls and functions as controls."""

import pytest
import torch
from omegaconf import OmegaConf

from ditto.build import build
from ditto.controls.base import ControlError
from ditto.controls.combined import Combined
from ditto.controls.function import FunctionControl
from ditto.controls.intensity import Intensity
from ditto.controls.loop_free import LoopFree
from ditto.controls.structure import Structure
from ditto.run import CONF
from tests.control_cases import brightness, latents, requests, toy


def parts():
    return {"loop": LoopFree(overlap_s=0.2), "intensity": Intensity(), "structure": Structure()}


def test_the_loss_is_the_weighted_sum():
    x_0 = latents()
    combined = Combined(parts(), {"intensity": 0.25, "structure": 3.0}).bind(toy(), requests())
    loop, intensity, structure = (part.bind(toy(), requests()).loss(x_0) for part in parts().values())
    torch.testing.assert_close(combined.loss(x_0), loop + 0.25 * intensity + 3 * structure)


def test_metrics_are_merged_and_the_first_judges():
    combined = Combined(parts(), {}).bind(toy(), requests())
    metrics = combined.metrics(latents(), toy().wave(latents()))
    assert set(metrics) == {"overlap_mse", "seam_db", "intensity_mse", "intensity_correlation", "structure_mse"}
    assert (combined.metric, combined.higher_is_better) == ("overlap_mse", False)
    assert [type(part) for part in combined.parts()] == [LoopFree, Intensity, Structure]


def test_the_wave_is_computed_once(monkeypatch):
    combined = Combined(parts(), {}).bind(toy(), requests())
    calls = []
    vocode = type(toy()).vocode
    monkeypatch.setattr(type(toy()), "vocode", lambda self, mel: calls.append(1) or vocode(self, mel))
    combined.loss(latents())
    assert len(calls) == 1


def test_the_edit_stitches():
    combined = Combined(parts(), {}).bind(toy(), requests())
    wave = toy().wave(latents())
    expected = parts()["loop"].bind(toy(), requests()).finish(latents(), wave)
    assert torch.equal(combined.finish(latents(), wave), expected)


def test_unknown_weights_are_refused():
    with pytest.raises(ControlError, match=r"weights for \['tempo'\]"):
        Combined(parts(), {"tempo": 1.0}).bind(toy(), requests())
    with pytest.raises(ControlError, match="at least one control"):
        Combined({}, {}).bind(toy(), requests())


def test_function_of_the_wave_and_of_x_0():
    bright = FunctionControl(brightness, 2.0, name="brightness").bind(toy(), requests())
    wave = toy().wave(latents())
    torch.testing.assert_close(bright.loss(latents()), (brightness(wave) - 2).square().mean(1))
    assert set(bright.metrics(latents(), wave)) == {"brightness_mse"}
    level = FunctionControl(lambda x_0: x_0.mean((1, 2)), OmegaConf.create([0.5] * 64), of="x_0").bind(
        toy(), requests()
    )
    torch.testing.assert_close(level.loss(latents()), (latents().mean((1, 2)) - 0.5).square().mean(1))


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (FunctionControl(brightness, [1.0, 2.0]), "does not fit its value of shape"),
        (FunctionControl(brightness, 1.0, of="mel"), "of=mel is unknown: choose wave or x_0"),
        (FunctionControl(lambda wave: wave.sum(), 1.0), "batch first"),
        (FunctionControl(brightness, "bright"), "does not fit"),
    ],
)
def test_function_refusals(control, message):
    with pytest.raises(ControlError, match=message):
        control.bind(toy(), requests())


@pytest.mark.parametrize("overlap_s", [2.0, 3.0])
def test_intensity_counts_only_after_the_overlap(overlap_s):
    """conf/task/intensity_outpainting.yaml; smoothing over 1 s (and RMS) hears its last half second."""
    task = OmegaConf.load(CONF / "task/intensity_outpainting.yaml")
    task.control.controls.outpainting.overlap_s = overlap_s
    config = OmegaConf.to_container(OmegaConf.create({"task": task}), resolve=True)["task"]["control"]
    combined = build(config, "task.control").bind(toy(), requests(), 512)
    overlap, half = combined.clip.frames_of(overlap_s), combined.clip.frames_of(0.6)
    x_0 = torch.zeros(2, 1, 16, 512)
    inside, after = x_0.clone(), x_0.clone()
    inside[..., : overlap - half] = 1.0
    after[..., overlap:] = 1.0
    intensity, outpainting = combined.controls["intensity"], combined.controls["outpainting"]
    assert torch.allclose(intensity.loss(inside), intensity.loss(x_0))
    assert not torch.allclose(intensity.loss(after), intensity.loss(x_0))
    assert not torch.allclose(outpainting.loss(inside), outpainting.loss(x_0))
    assert torch.equal(outpainting.loss(after), outpainting.loss(x_0))
    weighted = outpainting.loss(after) + intensity.loss(after) / 40
    torch.testing.assert_close(combined.loss(after), weighted)
    assert combined.weights == {"outpainting": 1.0, "intensity": 1 / 40}
