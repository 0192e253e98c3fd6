"""Naive masking: the given frames are the reference's at the end, and the rest is the sampler's own business."""

import itertools
from dataclasses import dataclass

import pytest
import torch

from baselines.masking import Masking
from baselines.text_only import TextOnly
from ditto.controls.base import rounds
from ditto.controls.outpainting import Outpainting
from ditto.controls.painting import Painting
from ditto.memory import count_calls
from ditto.method import Request
from ditto.noise import step_noise
from ditto.sampling import DDIM, DDPM, DPMSolverPP2M
from ditto.types import UndefinedTask
from tests.control_cases import FRAMES, bound, latents, recordings, requests, toy

PROMPTS = ["a calm song", "a fast song"]
SEEDS = [3, 4]
SAMPLERS = [DDIM(4, 2.0, dynamic_threshold=0.9), DDIM(4, 2.0, eta=0.7), DDPM(4, 2.0), DPMSolverPP2M(4, 2.0)]
METHODS = [Masking(), Masking(fresh_noise=False)]


@dataclass(eq=False)
class Given(Painting):
    """The first `frames` of the clip are those of the reference: from none to all."""

    frames: int = 0

    def regions(self):
        return [(slice(0, self.frames), slice(0, self.frames))] if self.frames else []


def given(frames, count=2):
    return Given(recordings(), frames=frames).bind(toy(), requests(count))


def generate(method, control, sampler, clips=slice(None)):
    return method(Request(toy(), sampler, control, PROMPTS[clips], latents()[clips], SEEDS[clips], progress=False))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", ["outpainting", "inpainting", "looping"])
def test_the_given_frames_are_the_reference_and_the_others_are_heard_to_follow(task, method, sampler):
    control = bound(task)
    made = generate(method, control, sampler)
    mask_T = control.mask_T
    assert torch.equal(made.x_0[..., mask_T], control.x_ref[..., mask_T])
    assert control.loss(made.x_0).eq(0).all()
    free = generate(TextOnly(), control, sampler).x_0[..., ~mask_T]
    assert made.x_0.isfinite().all()
    assert not torch.allclose(made.x_0[..., ~mask_T], free), "the network never saw the reference"
    assert made.history.model_calls == sampler.steps


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("method", METHODS)
def test_an_empty_mask_is_text_only_and_a_full_one_the_reference(method, sampler):
    empty, full = given(0), given(FRAMES)
    assert torch.equal(generate(method, empty, sampler).x_0, generate(TextOnly(), empty, sampler).x_0)
    assert torch.equal(generate(method, full, sampler).x_0, full.x_ref)


@pytest.mark.parametrize("fresh", [True, False])
def test_every_step_lands_on_the_noised_reference(fresh):
    """x_{t−1} = √ᾱ_{t−1} x_ref + √(1−ᾱ_{t−1}) ε in the mask, as the network sees it in the next step."""
    control, sampler, seen = given(20), DDIM(4), []
    model = toy()
    plain = model.denoise
    model.__dict__["denoise"] = lambda x_t, t, c: (seen.append(x_t), plain(x_t, t, c))[1]
    try:
        generate(Masking(fresh), control, sampler)
    finally:
        del model.__dict__["denoise"]
    assert torch.equal(seen[0], latents())
    for i, level in enumerate(sampler.levels(model.schedule)[:-1]):
        eps = step_noise(SEEDS, latents(), i, "masking", 0) if fresh else latents()
        expected = level.alpha_bar_prev**0.5 * control.x_ref + (1 - level.alpha_bar_prev) ** 0.5 * eps
        torch.testing.assert_close(seen[i + 1][..., :20], expected[..., :20])


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("method", METHODS)
def test_a_clip_does_not_depend_on_its_batch_mates(method, sampler):
    control = bound("outpainting")
    together = generate(method, control, sampler).x_0
    alone = generate(method, control.select([1]), sampler, slice(1, 2)).x_0
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-5)
    assert torch.equal(together, generate(method, control, sampler).x_0)


def test_outpainting_goes_on_until_the_piece_is_long_enough():
    control = Outpainting(recordings(), overlap_s=0.25, length_s=2.0).bind(toy(), requests())

    def again(following, number):
        x_T = step_noise(SEEDS, latents(), "round", number)
        return Masking()(Request(toy(), DDIM(4, 2.0), following, PROMPTS, x_T, SEEDS, progress=False))

    made = list(rounds(control, again))
    assert len(made) == control.total_rounds() == 3
    overlap = control.clip.frames_of(0.25)
    for (_, before), (_, after) in itertools.pairwise(made):
        assert torch.equal(after.x_0[..., :overlap], before.x_0[..., -overlap:])
    last, generation = made[-1]
    assert last.finish(generation.x_0, generation.wave_BN).shape[1] >= 2.0 * 22050


def test_later_rounds_have_noise_of_their_own():
    control, following = given(20), given(20)
    following.round = 1
    assert not torch.allclose(generate(Masking(), control, DDIM(4)).x_0, generate(Masking(), following, DDIM(4)).x_0)


@pytest.mark.parametrize("task", ["melody", "intensity", "structure", "loop_free", "combined", "inversion"])
def test_a_task_without_given_frames_is_refused_before_any_work(task):
    control = bound(task)
    with count_calls(toy()) as calls, pytest.raises(UndefinedTask, match="outpainting, inpainting or looping"):
        generate(Masking(), control, DDIM(4))
    assert calls.count == 0
