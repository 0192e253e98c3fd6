"""Frequency bands of latents, and the two measurements that use the noise they belong to."""

import math

import pytest
import torch

from baselines.low_band import LowBand
from baselines.shared_noise import SharedNoise
from ditto.bands import band_power, frequency, low_band
from ditto.method import Request
from ditto.noise import noise
from ditto.run import main
from ditto.runs import load_runs, run_paths
from ditto.sampling import DDIM
from ditto.types import UserError
from tests.control_cases import bound, toy

TOY = ["model=toy", "sampler.steps=4", "progress=false", "pictures=false", "memory=store", "text_only_beside=false"]
CLIPS = "prompt=[a calm song, a fast song]"


def wave(bins, frames, f, t):
    """A cosine of f cycles over the bins and t over the frames."""
    phases = f * torch.arange(bins)[:, None] / bins + t * torch.arange(frames)[None] / frames
    return torch.cos(2 * math.pi * phases.double())


def test_frequency_is_the_larger_share_of_nyquist():
    values = frequency(8, 16)
    assert values.shape == (8, 16)
    assert (values[0, 0], values[4, 0], values[0, 8], values[2, 1]) == (0, 1, 1, 0.5)


def test_a_wave_is_kept_or_lost_whole():
    x = wave(8, 16, 1, 2)  # 1 of 4 and 2 of 8: frequency 0.25
    torch.testing.assert_close(low_band(x, 0.25), x)
    torch.testing.assert_close(low_band(x, 0.2), torch.zeros_like(x), atol=1e-12, rtol=0)
    torch.testing.assert_close(low_band(x + 3, 0.0), torch.full_like(x, 3.0))


def test_white_noise_has_unit_power_in_every_band():
    power = band_power(torch.randn(64, 1, 32, 64, generator=torch.Generator().manual_seed(0)), torch.linspace(0, 1, 5))
    assert power.shape == (64, 1, 4)
    torch.testing.assert_close(power.mean((0, 1)), torch.ones(4, dtype=torch.float64), atol=0.1, rtol=0)


def test_power_lies_in_the_band_of_the_wave():
    power = band_power(wave(8, 16, 2, 1), torch.tensor([0.0, 0.25, 0.5, 1.0]))
    assert power[1] > 1
    torch.testing.assert_close(power[[0, 2]], torch.zeros(2, dtype=torch.float64), atol=1e-12, rtol=0)


def test_all_of_the_change_gives_the_optimised_clip_and_none_the_text_only(tmp_path):
    assert main([*TOY, CLIPS, "task.steps=20", "method.optimizer.lr=0.1", f"runs_dir={tmp_path}/ditto"]) == 0
    (run,) = run_paths(tmp_path / "ditto")
    losses = {}
    for name, options in {
        "none": ["method.run=null"],
        "low": ["method.cutoff=0.3", f"method.run={run}"],
        "all": ["method.cutoff=1", f"method.run={run}"],
        "high": ["method.cutoff=1", "method.kept=high", f"method.run={run}"],
    }.items():
        folder = tmp_path / name
        assert main([*TOY, CLIPS, "method=low_band", *options, f"runs_dir={folder}"]) == 0
        losses[name] = load_runs(folder).sort_values("clip")["loss"].to_numpy()
    ditto = load_runs(tmp_path / "ditto").sort_values("clip")["loss"].to_numpy()
    assert losses["all"] == pytest.approx(ditto, rel=1e-3)
    assert losses["high"] == pytest.approx(losses["none"], rel=1e-3)
    assert (losses["all"] < losses["none"]).all()
    assert (losses["low"] != losses["none"]).all()


def test_neighbouring_seeds_share_their_noise_in_any_batch():
    model, seeds = toy(), [19, 20, 21, 29, 30]
    x_T = noise(seeds, model.shape, dtype=model.latent_dtype)
    method = SharedNoise(group=10)
    control = bound("intensity", count=len(seeds))
    made = method(Request(model, DDIM(steps=3), control, ["a song"] * 5, x_T, seeds, progress=False))
    same = [torch.equal(made.x_T[i], made.x_T[i + 1]) for i in range(4)]
    assert same == [False, True, True, False]
    assert torch.equal(made.x_T[1], x_T[1])
    alone = method(Request(model, DDIM(steps=3), control.select([2]), ["a song"], x_T[2:3], [21], progress=False))
    torch.testing.assert_close(alone.x_0, made.x_0[2:3])


@pytest.mark.parametrize("options", [{"cutoff": -0.1}, {"cutoff": 1.5}, {"kept": "middle"}])
def test_bad_options_of_the_band(options):
    with pytest.raises(UserError, match=r"give|choose"):
        LowBand(**options)


def test_a_group_needs_a_clip():
    with pytest.raises(UserError, match="1 or more"):
        SharedNoise(group=0)
