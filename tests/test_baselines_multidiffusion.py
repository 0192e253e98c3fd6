"""MultiDiffusion: the overlap is the average of two paths, for as many steps as asked for."""

import pytest
import torch

from baselines.multidiffusion import MultiDiffusion
from baselines.text_only import TextOnly
from ditto.controls.base import rounds
from ditto.controls.outpainting import Outpainting
from ditto.method import Request
from ditto.noise import step_noise
from ditto.sampling import DDIM, DDPM, DPMSolverPP2M
from ditto.types import UndefinedTask, UserError
from tests.control_cases import FRAMES, bound, latents, recordings, requests, toy
from tests.test_baselines_masking import PROMPTS, SEEDS, generate, given

SAMPLERS = [DDIM(4, 2.0, dynamic_threshold=0.9), DDIM(4, 2.0, eta=0.7), DDPM(4, 2.0), DPMSolverPP2M(4, 2.0)]
TASKS = ["outpainting", "inpainting", "looping", "loop_free", "loop_free_short"]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("task", TASKS)
def test_the_overlap_agrees_better_than_that_of_text_only(task, sampler):
    control = bound(task)
    made = generate(MultiDiffusion(), control, sampler)
    free, half = (generate(m, control, sampler).x_0 for m in (TextOnly(), MultiDiffusion(0.5)))
    assert (control.loss(made.x_0) < 0.5 * control.loss(free)).all()
    assert (control.loss(half) < control.loss(free)).all()
    assert (control.loss(made.x_0) < control.loss(half)).all()
    assert made.history.model_calls == sampler.steps


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("task", TASKS)
def test_without_a_guided_step_it_is_text_only(task, sampler):
    control = bound(task)
    made, free = (generate(method, control, sampler) for method in (MultiDiffusion(0.0), TextOnly()))
    assert torch.equal(made.x_0, free.x_0)
    assert torch.equal(made.x_T, free.x_T)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_empty_mask_is_text_only(sampler):
    control = given(0)
    assert torch.equal(generate(MultiDiffusion(), control, sampler).x_0, generate(TextOnly(), control, sampler).x_0)


def steps_of(sampler, method, control):
    """x_T and x_{t−1} after each step, as the sampler's own step finds them: (before the average, after it)."""
    model, own, after = toy(), [], []
    plain = type(sampler).step

    class Watched(type(sampler)):
        def step(self, levels, i, x_t, *rest):
            after.append(x_t)
            own.append(plain(self, levels, i, x_t, *rest))
            return own[-1]

    watched = Watched(sampler.steps, sampler.guidance_scale)
    made = method(Request(model, watched, control, PROMPTS, latents(), SEEDS, progress=False))
    return own, [*after[1:], made.x_0]


@pytest.mark.parametrize(("fraction", "averaged"), [(1.0, 4), (0.5, 2), (0.3, 2), (0.25, 1), (0.0, 0)])
def test_the_first_steps_are_averaged_with_the_noised_reference(fraction, averaged):
    control, sampler = given(20), DDIM(4)
    own, after = steps_of(sampler, MultiDiffusion(fraction), control)
    for i, level in enumerate(sampler.levels(toy().schedule)):
        reference = level.alpha_bar_prev**0.5 * control.x_ref + (1 - level.alpha_bar_prev) ** 0.5 * latents()
        expected = (own[i] + reference) / 2 if i < averaged else own[i]
        torch.testing.assert_close(after[i][..., :20], expected[..., :20])
        assert torch.equal(after[i][..., 20:], own[i][..., 20:])


def test_the_edges_of_a_loop_are_one():
    control = bound("loop_free")
    made = generate(MultiDiffusion(), control, DDIM(4, 2.0))
    first, second = control.windows()
    assert torch.equal(made.x_0[..., first], made.x_0[..., second])
    assert torch.equal(made.x_T[..., first], made.x_T[..., second])
    middle = slice(first.stop, second.start)
    assert torch.equal(made.x_T[..., middle], latents()[..., middle])
    own, after = steps_of(DDIM(4), MultiDiffusion(), control)
    torch.testing.assert_close(after[0][..., second], (own[0][..., first] + own[0][..., second]) / 2)
    assert torch.equal(after[0][..., middle], own[0][..., middle])


def test_a_clip_that_is_given_whole_is_half_the_reference():
    control, sampler = given(FRAMES), DDIM(4, 2.0)
    made, free = (generate(method, control, sampler).x_0 for method in (MultiDiffusion(), TextOnly()))
    assert (control.loss(made) < 0.25 * control.loss(free)).all()
    assert not torch.equal(made, control.x_ref)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("task", ["outpainting", "loop_free"])
def test_a_clip_does_not_depend_on_its_batch_mates(task, sampler):
    control = bound(task)
    together = generate(MultiDiffusion(), control, sampler).x_0
    alone = generate(MultiDiffusion(), control.select([1]), sampler, slice(1, 2)).x_0
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-5)


def test_every_round_of_outpainting_agrees_with_the_one_before():
    control = Outpainting(recordings(), overlap_s=0.25, repeats=2).bind(toy(), requests())

    def by(method):
        def again(following, number):
            x_T = step_noise(SEEDS, latents(), "round", number)
            return method(Request(toy(), DDIM(4, 2.0), following, PROMPTS, x_T, SEEDS, progress=False))

        return [following.loss(generation.x_0) for following, generation in rounds(control, again)]

    made, free = by(MultiDiffusion()), by(TextOnly())
    assert len(made) == 2
    assert all((ours < 0.5 * theirs).all() for ours, theirs in zip(made, free, strict=True))


def test_the_given_noise_is_left_alone():
    control, x_T = bound("loop_free"), latents()
    MultiDiffusion()(Request(toy(), DDIM(2), control, PROMPTS, x_T, SEEDS, progress=False))
    assert torch.equal(x_T, latents())


@pytest.mark.parametrize("task", ["melody", "intensity", "structure", "combined", "inversion"])
def test_a_task_without_a_second_path_is_refused(task):
    with pytest.raises(UndefinedTask, match="outpainting, inpainting, looping or loop_free"):
        generate(MultiDiffusion(), bound(task), DDIM(4))


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_an_impossible_fraction_is_refused(fraction):
    with pytest.raises(UserError, match="guided_fraction"):
        MultiDiffusion(fraction)
