"""Each sampler equals diffusers' scheduler of the same name on the same noise and network; guidance and hooks."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from diffusers.schedulers import scheduling_ddpm

from ditto.chain import Denoiser
from ditto.memory import count_calls
from ditto.models.toy import Toy
from ditto.sampling import DDIM, DDPM, DPMSolverPP2M, noise, step_noise, threshold_x0

SEEDS = [3, 4]
PROMPTS = ["a calm jazz song", "a fast polka"]
BOUND = 1.0  # diffusers' thresholding knows no other


@pytest.fixture(params=["float32", "float64"])
def model(request):
    toy = Toy(dtype=request.param)
    toy.x0_bound = BOUND
    return toy


def _start(model):
    return noise(SEEDS, model.shape, dtype=model.latent_dtype), model.encode(PROMPTS)


def _scheduler(kind, model, sampler, **options):
    scheduler = kind(
        beta_schedule="squaredcos_cap_v2",
        timestep_spacing=sampler.spacing,
        thresholding=sampler.dynamic_threshold is not None,
        dynamic_thresholding_ratio=sampler.dynamic_threshold or 0.995,
        sample_max_value=1e6,
        **options,
    )
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.to(model.latent_dtype)
    scheduler.set_timesteps(sampler.steps)
    return scheduler


def _diffusers(scheduler, model, sampler, x_T, condition, **step_options):
    """The plain loop of a diffusers pipeline."""
    denoiser = Denoiser(model, condition, model.encode([""]), sampler.guidance_scale)
    x_t = x_T
    for i, t in enumerate(scheduler.timesteps):
        extra = {name: make(i, x_t) for name, make in step_options.items()}
        x_t = scheduler.step(denoiser(x_t, int(t)), t, x_t, **extra).prev_sample
    return x_t


@pytest.mark.parametrize("threshold", [None, 0.9])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_equals_diffusers(model, eta, spacing, threshold):
    sampler = DDIM(20, 3.0, dynamic_threshold=threshold, spacing=spacing, eta=eta)
    x_T, condition = _start(model)
    scheduler = _scheduler(DDIMScheduler, model, sampler, clip_sample=False)
    theirs = _diffusers(
        scheduler,
        model,
        sampler,
        x_T,
        condition,
        eta=lambda i, x: eta,
        variance_noise=lambda i, x: step_noise(SEEDS, x, i) if eta else None,
    )
    _assert_same(sampler(model, x_T, condition, seeds=SEEDS), theirs)


@pytest.mark.parametrize("threshold", [None, 0.9])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_ddpm_equals_diffusers(model, spacing, threshold, monkeypatch):
    sampler = DDPM(20, 3.0, dynamic_threshold=threshold, spacing=spacing)
    x_T, condition = _start(model)
    draws = iter(range(sampler.steps))
    monkeypatch.setattr(scheduling_ddpm, "randn_tensor", lambda *_, **__: step_noise(SEEDS, x_T, next(draws)))
    scheduler = _scheduler(DDPMScheduler, model, sampler, clip_sample=False)
    theirs = _diffusers(scheduler, model, sampler, x_T, condition)
    _assert_same(sampler(model, x_T, condition, seeds=SEEDS), theirs)


@pytest.mark.parametrize("threshold", [None, 0.9])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [5, 20])
def test_dpmpp_equals_diffusers(model, steps, spacing, threshold):
    sampler = DPMSolverPP2M(steps, 3.0, dynamic_threshold=threshold, spacing=spacing)
    x_T, condition = _start(model)
    scheduler = _scheduler(DPMSolverMultistepScheduler, model, sampler)
    # diffusers rounds its σ to float32, which at t = 999 (σ = 2e4) costs four digits: compare the formula without that.
    alphas_cumprod = scheduler.alphas_cumprod.double()[scheduler.timesteps]
    scheduler.sigmas = torch.cat([((1 - alphas_cumprod) / alphas_cumprod).sqrt(), torch.zeros(1)])
    theirs = _diffusers(scheduler, model, sampler, x_T, condition)
    _assert_same(sampler(model, x_T, condition), theirs)


def _assert_same(ours, theirs):
    assert (ours - theirs).abs().max() <= 1e-5 * max(1.0, theirs.abs().max().item())


def test_threshold_takes_the_quantile_of_each_clip():
    x = torch.randn(3, 1, 7, 11, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 1, 10]).view(
        3, 1, 1, 1
    )
    for quantile in (0.5, 0.9, 0.995, 1.0):
        s = torch.quantile(x.abs().flatten(1), quantile, dim=1).clamp(min=0.8).view(3, 1, 1, 1)
        torch.testing.assert_close(threshold_x0(x, quantile, 0.8), x.clamp(-s, s) * 0.8 / s)
    assert torch.equal(threshold_x0(x, 0.9, 0.8)[0], x[0])


def test_threshold_has_no_effect_on_a_model_without_a_bound():
    toy = Toy()
    x_T, condition = _start(toy)
    toy.x0_bound = float("inf")
    assert torch.equal(DDIM(dynamic_threshold=0.9)(toy, x_T, condition), DDIM()(toy, x_T, condition))


def test_guidance_is_one_batched_call_and_none_for_scale_one():
    toy = Toy()
    x_T, condition = _start(toy)
    batches = []
    plain = toy.denoise
    toy.__dict__["denoise"] = lambda x_t, t, c: (batches.append(len(x_t)), plain(x_t, t, c))[1]
    DDIM(4, 1.0)(toy, x_T, condition)
    DDIM(4, 2.0)(toy, x_T, condition)
    DDIM(4, 2.0, guidance_interval=(0.25, 0.75))(toy, x_T, condition)
    assert batches == [2] * 4 + [4] * 4 + [2, 4, 4, 2]


def test_guidance_mixes_as_the_paper_has_it():
    toy = Toy()
    x_t, condition = _start(toy)
    t_B, null = torch.full((2,), 500), toy.encode(["", ""])
    expected = 3 * toy.denoise(x_t, t_B, condition) - 2 * toy.denoise(x_t, t_B, null)
    torch.testing.assert_close(Denoiser(toy, condition, null[0], 3.0)(x_t, 500), expected)


@pytest.mark.parametrize("sampler", [DDIM(5, 2.0, eta=0.7), DDPM(5, 2.0), DPMSolverPP2M(5, 2.0)])
def test_a_clip_does_not_depend_on_its_batch_mates(sampler):
    toy = Toy()
    x_T, condition = _start(toy)
    together = sampler(toy, x_T, condition, seeds=SEEDS)
    alone = sampler(toy, x_T[1:], condition[1], seeds=SEEDS[1:])
    torch.testing.assert_close(together[1:], alone, rtol=1e-5, atol=1e-6)
    assert torch.equal(sampler(toy, x_T, condition, seeds=SEEDS), together)


def test_stochastic_samplers_ask_for_seeds():
    toy = Toy()
    x_T, condition = _start(toy)
    with pytest.raises(ValueError, match="seeds"):
        DDPM(5)(toy, x_T, condition)


def test_noise_belongs_to_the_clip():
    assert torch.equal(noise([5, 6], (1, 4, 8))[1], noise([6], (1, 4, 8))[0])
    like = torch.zeros(2, 1, 4, 8)
    assert torch.equal(step_noise([5, 6], like, 3)[1:], step_noise([6], like[:1], 3))
    assert not torch.equal(step_noise([5, 6], like, 3), step_noise([5, 6], like, 4))
    assert not torch.equal(step_noise([5], like[:1], 3), noise([5], (1, 4, 8)))


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    toy = Toy()
    x_T, condition = _start(toy)
    DDPM(3, 2.0)(toy, x_T, condition, seeds=SEEDS)
    assert torch.equal(before, torch.get_rng_state())


def test_callback_sees_every_step_detached():
    toy = Toy()
    x_T, condition = _start(toy)
    seen = []
    x_0 = DDIM(4, 2.0)(toy, x_T.requires_grad_(), condition, callback=lambda i, x, x0: seen.append((i, x, x0)))
    assert [i for i, _, _ in seen] == [0, 1, 2, 3]
    assert torch.equal(seen[0][1], x_T)
    torch.testing.assert_close(seen[-1][2], x_0)  # the last DDIM step lands on x̂_0
    assert not any(x.requires_grad or x0.requires_grad for _, x, x0 in seen)


@pytest.mark.parametrize("sampler", [DDIM(5, 2.0), DDPM(5, 2.0), DPMSolverPP2M(5, 2.0)])
def test_a_hook_that_changes_nothing_changes_nothing(sampler):
    toy = Toy()
    x_T, condition = _start(toy)
    plain = sampler(toy, x_T, condition, seeds=SEEDS)
    with count_calls(toy) as calls:
        assert torch.equal(sampler(toy, x_T, condition, seeds=SEEDS, hook=lambda c: c.x_prev), plain)
    assert calls.count == 5
    by_hand = sampler(
        toy, x_T, condition, seeds=SEEDS, hook=lambda c: c.step_from(c.x_t, c.denoiser.mix(*c.eps_pair(c.x_t)))
    )
    torch.testing.assert_close(by_hand, plain)


def test_a_hook_can_guide_with_one_network_call_a_step():
    """Guidance Gradients in small: x_{t−1} − η ∇_{x_t} L(x̂_0(x_t)) lowers L without more network calls."""
    toy = Toy()
    x_T, condition = _start(toy)

    def loss(x_0):
        return (x_0 - 1).square().sum()

    def hook(context):
        with torch.enable_grad():
            x_t = context.x_t.detach().requires_grad_()
            eps = context.eps_of(x_t)
            (gradient,) = torch.autograd.grad(loss(context.x0_from(x_t, eps)), x_t)
        return context.step_from(context.x_t, eps.detach()) - 0.1 * gradient

    with torch.no_grad(), count_calls(toy) as calls:
        guided = DDIM(10, 2.0)(toy, x_T, condition, hook=hook)
        assert calls.count == 10
        assert loss(guided) < 0.5 * loss(DDIM(10, 2.0)(toy, x_T, condition))


def test_a_hook_can_travel_back_in_time():
    toy = Toy()
    x_T, condition = _start(toy)

    def hook(context):
        x_t = context.renoise(context.x_prev, 0)
        return context.step_from(x_t, context.eps_of(x_t))

    with count_calls(toy) as calls:
        again = DDIM(5, 2.0)(toy, x_T, condition, hook=hook, seeds=SEEDS)
    assert calls.count == 10
    assert again.isfinite().all()
    assert not torch.allclose(again, DDIM(5, 2.0)(toy, x_T, condition))
