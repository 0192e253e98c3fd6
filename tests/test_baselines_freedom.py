"""FreeDoM on the toy model: its rate per clip, time travel, and what it is with rate 0 or inside another sampler."""

import pytest
import torch

from baselines.freedom import FreeDoM
from baselines.gradient import Guidance
from baselines.text_only import TextOnly
from ditto.method import Request
from ditto.sampling import DDIM, DDPM, DPMSolverPP2M, noise
from ditto.types import UserError
from tests.control_cases import FRAMES, bound, toy

SEEDS = [0, 1]
PROMPTS = ["a calm song", "a calm song"]
SAMPLERS = {
    "ddim": DDIM(10, 2.0, spacing="trailing"),
    "ddim_threshold": DDIM(10, 2.0, dynamic_threshold=0.9),
    "ddim_without_cfg": DDIM(10, 1.0, spacing="trailing"),
    "ddim_interval": DDIM(10, 3.0, guidance_interval=(0.0, 0.5), spacing="trailing"),
    "ddpm": DDPM(10, 2.0, spacing="trailing"),
    "dpmpp": DPMSolverPP2M(10, 2.0, spacing="trailing"),
}
WHOLE = {"guided_interval": (0.0, 1.0)}


def run(method, task="outpainting", sampler=None, dtype="float32", clips=(0, 1)):
    model, positions = toy(dtype), list(clips)
    control = bound(task, dtype).select(positions)
    seeds, prompts = [SEEDS[i] for i in positions], [PROMPTS[i] for i in positions]
    x_T = noise(seeds, (*model.shape[:2], FRAMES), dtype=model.latent_dtype)
    sampler = sampler or SAMPLERS["ddim_interval"]
    return method(Request(model, sampler, control, prompts, x_T, seeds, progress=False))


@pytest.mark.parametrize("task", ["intensity", "melody", "structure", "outpainting", "combined"])
def test_lowers_the_loss_of_its_task(task):
    control = bound(task)
    text_only, guided = run(TextOnly(), task), run(FreeDoM(1.0), task)
    assert (control.loss(guided.x_0) < 0.97 * control.loss(text_only.x_0)).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_rate_0_without_time_travel_is_text_only(sampler):
    plain = run(TextOnly(), sampler=SAMPLERS[sampler], dtype="float64").x_0
    guided = run(FreeDoM(0.0, repeats=1, **WHOLE), sampler=SAMPLERS[sampler], dtype="float64").x_0
    torch.testing.assert_close(guided, plain, rtol=1e-12, atol=1e-12)  # a batch of 2B or B: the last bits differ
    assert torch.equal(run(FreeDoM(guided_interval=(0, 0), repeats=1)).x_0, run(TextOnly()).x_0)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_update_has_the_size_of_the_correction_in_every_clip(sampler):
    """Also where CFG is off; and it does not change when the loss is scaled, as by taking its root."""
    control, sampler, model = bound("outpainting"), SAMPLERS[sampler], toy()
    updates = []

    def look(context):
        eps_c, eps_null = context.eps_pair(context.x_t)
        eps = context.denoiser.mix(eps_c, eps_null) if context.guided else eps_c
        plain = context.step_from(context.x_t, eps)
        update = plain - FreeDoM(0.2, repeats=1, **WHOLE).hook(control)(context)
        expected = 0.2 * sampler.guidance_scale * (eps_c - eps_null).square().mean((1, 2, 3)).sqrt()
        torch.testing.assert_close(update.square().mean((1, 2, 3)).sqrt(), expected, rtol=0.02, atol=1e-6)
        updates.append(update)
        return plain

    x_T = noise(SEEDS, (*model.shape[:2], FRAMES))
    with torch.no_grad():
        sampler(model, x_T, model.encode(PROMPTS), seeds=SEEDS, hook=look)
    assert len(updates) == 10
    gradient, correction = torch.randn(2, 1, 16, 64), torch.randn(2, 1, 16, 64)
    scaled = gradient * torch.tensor([3.0, 7.0]).view(2, 1, 1, 1)
    torch.testing.assert_close(FreeDoM().update(scaled, correction), FreeDoM().update(gradient, correction))
    assert FreeDoM().update(torch.zeros_like(gradient), correction).abs().max() == 0


def test_counts_calls_and_guided_steps():
    method = FreeDoM()  # 4 of 10 steps are guided, 3 of them made 3 times
    history = run(method).history
    assert history.model_calls == 10 + 2 * 3
    assert [row["step"] for row in history.rows] == list(range(3 * 3 + 1))
    assert run(FreeDoM(repeats=1)).history.model_calls == 10
    paper = run(method, sampler=DDIM(20, 3.0, spacing="trailing")).history
    assert (paper.model_calls, len(paper.rows)) == (32, 20)


@pytest.mark.parametrize("sampler", ["ddim_interval", "ddpm"])
def test_a_clip_does_not_depend_on_its_batch_mates(sampler):
    both = run(FreeDoM(), "combined", SAMPLERS[sampler], "float64")
    alone = run(FreeDoM(), "combined", SAMPLERS[sampler], "float64", clips=(1,))
    torch.testing.assert_close(both.x_0[1:], alone.x_0, rtol=1e-8, atol=1e-8)


def test_a_clip_of_nan_stays_alone():
    control = bound("outpainting")
    control.target = control.target.clone()
    control.target[0] = torch.nan
    model = toy()
    x_T = noise(SEEDS, (*model.shape[:2], FRAMES))
    broken = FreeDoM()(Request(model, SAMPLERS["ddim"], control, PROMPTS, x_T, SEEDS, progress=False))
    assert broken.history.stopped == ["non-finite gradient at step 0", None]
    assert broken.x_0.isfinite().all()
    assert torch.equal(broken.x_0[1], run(FreeDoM(), sampler=SAMPLERS["ddim"]).x_0[1])


def test_the_update_inside_a_stochastic_sampler_from_a_given_x_T():
    """DITTO's table 10: many samples of one x_T, by other seeds, each guided."""
    model, control = toy(), bound("outpainting")
    x_T = noise([5], (*model.shape[:2], FRAMES)).expand(2, -1, -1, -1)
    guidance, method = Guidance(control, 2), FreeDoM(1.0)
    with torch.no_grad():
        sample = [
            SAMPLERS["ddpm"](model, x_T, model.encode(PROMPTS), seeds=[7, 8], hook=hook)
            for hook in (None, method.hook(control, guidance), method.hook(control))
        ]
    assert torch.equal(sample[1], sample[2])
    assert (control.loss(sample[1]) < control.loss(sample[0])).all()
    assert not torch.equal(sample[1][0], sample[1][1])
    assert len(guidance.history.rows) == 10


def test_a_repeated_stochastic_step_draws_fresh_noise():
    drawn = []

    def look(context):
        eps = context.eps_of(context.x_t)
        drawn.append([context.step_from(context.x_t, eps, repeat) for repeat in (0, 1, 2, 1)])
        return drawn[-1][0]

    model = toy()
    x_T = noise(SEEDS, (*model.shape[:2], FRAMES))
    with torch.no_grad():
        SAMPLERS["ddpm"](model, x_T, model.encode(PROMPTS), seeds=SEEDS, hook=look)
    for zeroth, first, second, again in drawn[:-1]:
        assert not torch.equal(zeroth, first)
        assert not torch.equal(first, second)
        assert torch.equal(first, again)


@pytest.mark.parametrize(
    "options", [{"rate": -0.1}, {"repeats": 0}, {"guided_interval": (0.7, 0.3)}, {"travel_interval": (0.1,)}]
)
def test_mistaken_options_are_one_line(options):
    with pytest.raises(UserError, match="method"):
        FreeDoM(**options)
