"""Long clips by overlapping windows: one window is text-only, many are averaged, whatever the sampler."""

import itertools
from dataclasses import replace

import pytest
import torch

from baselines.text_only import TextOnly
from baselines.windowed import Windowed, window_starts, window_weights
from baselines.windows import Windows
from ditto.chain import Denoiser
from ditto.memory import count_calls
from ditto.method import Request
from ditto.models.toy import Toy
from ditto.noise import noise
from ditto.sampling import DDIM, DDPM, DPMSolverPP2M
from ditto.types import UserError
from tests.control_cases import bound
from tests.finite_differences import directional_check

PROMPTS, SEEDS = ["a calm song", "a fast song"], [3, 4]
SAMPLERS = [DDIM(3, 2.0, dynamic_threshold=0.9), DDIM(3, 2.0, eta=0.7), DDPM(3, 2.0), DPMSolverPP2M(3, 2.0)]
MODEL = Toy(frames=32)


def start(frames, clips=slice(None)):
    return noise(SEEDS[clips], (1, 16, frames))


def generate(method, sampler, frames, clips=slice(None), model=MODEL):
    x_T = start(frames, clips).to(model.latent_dtype)
    return method(Request(model, sampler, bound("intensity"), PROMPTS[clips], x_T, SEEDS[clips], progress=False))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("frames", "window"), [(32, None), (24, None), (80, 80), (80, 96)])
def test_a_clip_of_one_window_is_text_only(frames, window, sampler):
    made, free = (generate(method, sampler, frames) for method in (Windows(window), TextOnly()))
    assert torch.equal(made.x_0, free.x_0)
    assert torch.equal(made.wave_BN, free.wave_BN)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("frames", [33, 64, 100])
def test_a_long_clip_is_one_call_of_the_network_a_step(frames, sampler):
    sizes, plain = [], MODEL.denoise
    MODEL.__dict__["denoise"] = lambda x_t, t, c: (sizes.append(tuple(x_t.shape)), plain(x_t, t, c))[1]
    try:
        made = generate(Windows(), sampler, frames)
    finally:
        del MODEL.__dict__["denoise"]
    windows = len(window_starts(frames, 32, 16))
    assert sizes == [(2 * 2 * windows, 1, 16, 32)] * sampler.steps  # CFG x clips x windows
    assert made.history.model_calls == sampler.steps
    assert made.x_0.shape == (2, 1, 16, frames)
    assert made.wave_BN.shape == (2, frames * 256)
    assert made.x_0.isfinite().all()


@pytest.mark.parametrize(
    ("frames", "window", "hop"), [(64, 32, 16), (100, 32, 16), (33, 32, 16), (65, 32, 32), (9, 4, 1)]
)
@pytest.mark.parametrize("taper", [True, False])
def test_windows_cover_every_frame_and_their_weights_sum_to_one(frames, window, hop, taper):
    starts = window_starts(frames, window, hop)
    weights_WL = window_weights(starts, frames, window, taper)
    total_T = torch.zeros(frames, dtype=torch.float64)
    for k, s in enumerate(starts):
        total_T[s : s + window] += weights_WL[k]
    torch.testing.assert_close(total_T, torch.ones_like(total_T))
    assert (weights_WL > 0).all()
    assert starts[0] == 0
    assert starts[-1] == frames - window
    assert all(0 < b - a <= hop for a, b in itertools.pairwise(starts))


def test_equal_weights_are_a_plain_mean_and_a_taper_favours_the_middle():
    starts = window_starts(64, 32, 16)
    equal, taper = (window_weights(starts, 64, 32, t) for t in (False, True))
    assert equal[0].tolist() == [1.0] * 16 + [0.5] * 16
    assert (taper[1].diff()[:15] > 0).all()
    assert taper[0, -1] < 0.1


@pytest.mark.parametrize("taper", [True, False])
@pytest.mark.parametrize("sampler", [DDIM(4, 2.0), DDIM(4, 2.0, guidance_interval=(0.0, 0.5)), DPMSolverPP2M(4, 2.0)])
def test_averaging_eps_is_averaging_the_steps_of_a_deterministic_sampler(sampler, taper):
    """MultiDiffusion as published: each window takes the sampler's step by itself, and x_{t−1} are averaged."""
    model = Toy(frames=32, dtype="float64")
    made = generate(Windows(taper=taper), sampler, 100, model=model).x_0
    torch.testing.assert_close(made, fused_steps(model, sampler, taper), rtol=1e-9, atol=1e-9)


def test_with_dynamic_thresholding_it_is_not():
    model, sampler = Toy(frames=32, dtype="float64"), DDIM(4, 2.0, dynamic_threshold=0.8)
    model.x0_bound = 0.5
    assert not torch.allclose(generate(Windows(), sampler, 100, model=model).x_0, fused_steps(model, sampler, True))


def fused_steps(model, sampler, taper, frames=100):
    """x_0 by the paper's algorithm 1, window after window; the last x̂_0 of each is its crop of the averaged one."""
    denoiser = Denoiser(model, model.encode(PROMPTS), model.encode([""]), sampler.guidance_scale)
    levels, starts = sampler.levels(model.schedule), window_starts(frames, 32, 16)
    weights_WL = window_weights(starts, frames, 32, taper)
    x_t = x0_hat = start(frames).double()
    for i in range(sampler.steps):
        pairs = []
        for s in starts:
            crop, last = x_t[..., s : s + 32], x0_hat[..., s : s + 32]
            pairs.append(sampler._link(denoiser, levels, i, None, None, crop, last))
        x_t, x0_hat = (fuse([pair[j] for pair in pairs], starts, weights_WL, frames) for j in (0, 1))
    return x_t


def fuse(crops, starts, weights_WL, frames):
    fused = torch.zeros(*crops[0].shape[:-1], frames, dtype=crops[0].dtype)
    for crop, s, weights_L in zip(crops, starts, weights_WL, strict=True):
        fused[..., s : s + 32] += weights_L * crop
    return fused


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_clip_does_not_depend_on_its_batch_mates(sampler):
    together = generate(Windows(), sampler, 100).x_0
    alone = generate(Windows(), sampler, 100, slice(1, 2)).x_0
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-5)


def test_far_frames_do_not_see_each_other_within_a_step():
    x_t, condition = start(100), MODEL.encode(PROMPTS)
    t, windowed = torch.full((2,), 500), Windowed(MODEL, 32, 16)
    other = x_t.clone()
    other[..., 90:] += 1
    same, changed = windowed.denoise(x_t, t, condition), windowed.denoise(other, t, condition)
    assert torch.equal(same[..., :64], changed[..., :64])
    assert not torch.equal(same[..., 90:], changed[..., 90:])


def test_the_gradient_is_that_of_the_function():
    model = Toy(frames=16, dtype="float64")
    windowed, condition = Windowed(model, 16, 8), model.encode(PROMPTS)
    x_T = start(40).double()
    directional_check(lambda x: DDIM(2, 2.0)(windowed, x, condition).square(), x_T)


def test_the_model_is_left_as_it_was():
    with count_calls(MODEL) as calls:
        generate(Windows(), DDIM(2), 64)
    assert calls.count == 2
    assert "denoise" not in vars(MODEL)
    assert {name for name, _ in MODEL.named_children()} == {"hidden"}


@pytest.mark.parametrize("options", [{"overlap": 1.0}, {"overlap": -0.1}, {"window_frames": 0}])
def test_impossible_windows_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        replace(Windows(), **options)
